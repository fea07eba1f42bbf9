"""Gates, circuits, nodes and measurements that the device's tests run beside default.qubit."""

import numpy as np
import pennylane as qml
from scipy.linalg import block_diag

from qicircuits import brickwork
from qicircuits.circuits import FBS, RBS, orthogonal_layer


def unitary(rng, size):
    matrix = rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size))
    return np.linalg.qr(matrix)[0]


def weight_unitary(rng, n_wires):
    """A random unitary that is block diagonal in the weight."""
    weights = np.bitwise_count(np.arange(2**n_wires))
    order = np.argsort(weights, kind="stable")
    blocks = block_diag(*(unitary(rng, np.count_nonzero(weights == weight)) for weight in range(n_wires + 1)))
    matrix = np.empty_like(blocks)
    matrix[np.ix_(order, order)] = blocks
    return matrix


def phases(rng, n_wires):
    return np.exp(1j * rng.normal(size=2**n_wires))


# For each gate: its number of wires, its number of angles, and how to place it.
GATES = {
    "RBS": (2, 1, lambda a, w: RBS(a, w)),
    "FBS": (4, 1, lambda a, w: FBS(a, w)),
    "SingleExcitation": (2, 1, lambda a, w: qml.SingleExcitation(a, w)),
    "SingleExcitationPlus": (2, 1, lambda a, w: qml.SingleExcitationPlus(a, w)),
    "SingleExcitationMinus": (2, 1, lambda a, w: qml.SingleExcitationMinus(a, w)),
    "FermionicSingleExcitation": (4, 1, lambda a, w: qml.FermionicSingleExcitation(a, w)),
    "DoubleExcitation": (4, 1, lambda a, w: qml.DoubleExcitation(a, w)),
    "DoubleExcitationPlus": (4, 1, lambda a, w: qml.DoubleExcitationPlus(a, w)),
    "FermionicDoubleExcitation": (5, 1, lambda a, w: qml.FermionicDoubleExcitation(a, wires1=w[:3], wires2=w[3:])),
    "FermionicDoubleExcitation's other split": (
        5,
        1,
        lambda a, w: qml.FermionicDoubleExcitation(a, wires1=w[:2], wires2=w[2:]),
    ),
    "OrbitalRotation": (4, 1, lambda a, w: qml.OrbitalRotation(a, w)),
    "IsingXY": (2, 1, lambda a, w: qml.IsingXY(a, w)),
    "SWAP": (2, 0, lambda w: qml.SWAP(w)),
    "ISWAP": (2, 0, lambda w: qml.ISWAP(w)),
    "SISWAP": (2, 0, lambda w: qml.SISWAP(w)),
    "PSWAP": (2, 1, lambda a, w: qml.PSWAP(a, w)),
    "CSWAP": (3, 0, lambda w: qml.CSWAP(w)),
    "CZ": (2, 0, lambda w: qml.CZ(w)),
    "CCZ": (3, 0, lambda w: qml.CCZ(w)),
    "ControlledPhaseShift": (2, 1, lambda a, w: qml.ControlledPhaseShift(a, w)),
    "CPhaseShift00": (2, 1, lambda a, w: qml.CPhaseShift00(a, w)),
    "CPhaseShift01": (2, 1, lambda a, w: qml.CPhaseShift01(a, w)),
    "CPhaseShift10": (2, 1, lambda a, w: qml.CPhaseShift10(a, w)),
    "PhaseShift": (1, 1, lambda a, w: qml.PhaseShift(a, w)),
    "U1": (1, 1, lambda a, w: qml.U1(a, w)),
    "RZ": (1, 1, lambda a, w: qml.RZ(a, w)),
    "CRZ": (2, 1, lambda a, w: qml.CRZ(a, w)),
    "MultiRZ": (4, 1, lambda a, w: qml.MultiRZ(a, w)),
    "PauliRot": (3, 1, lambda a, w: qml.PauliRot(a, "ZIZ", w)),
    "IsingZZ": (2, 1, lambda a, w: qml.IsingZZ(a, w)),
    "DiagonalQubitUnitary": (2, 0, lambda w: qml.DiagonalQubitUnitary(phases(np.random.default_rng(3), 2), w)),
    "QubitUnitary": (3, 0, lambda w: qml.QubitUnitary(weight_unitary(np.random.default_rng(4), 3), w)),
    "Z": (1, 0, lambda w: qml.Z(w[0])),
    "S": (1, 0, lambda w: qml.S(w)),
    "T": (1, 0, lambda w: qml.T(w)),
    "Adjoint(S)": (1, 0, lambda w: qml.adjoint(qml.S(w))),
    "Adjoint(ISWAP)": (2, 0, lambda w: qml.adjoint(qml.ISWAP(w))),
    "Adjoint(PSWAP)": (2, 1, lambda a, w: qml.adjoint(qml.PSWAP(a, w))),
    "C(RBS)": (4, 1, lambda a, w: qml.ctrl(RBS(a, w[2:]), w[:2], control_values=[1, 0])),
    "C(FBS)": (4, 1, lambda a, w: qml.ctrl(FBS(a, w[1:]), w[0])),
    "C(MultiRZ)": (3, 1, lambda a, w: qml.ctrl(qml.MultiRZ(a, w[1:]), w[0])),
    "C(GlobalPhase)": (1, 1, lambda a, w: qml.ctrl(qml.GlobalPhase(a), w[0])),
    "Pow(ISWAP)": (2, 0, lambda w: qml.pow(qml.ISWAP(w), 0.5, lazy=False)),
    "Pow(SWAP)": (2, 0, lambda w: qml.pow(qml.SWAP(w), 0.3)),
    "GlobalPhase": (1, 1, lambda a, w: qml.GlobalPhase(a)),
    "Identity": (1, 0, lambda w: qml.Identity(w)),
    "Barrier": (2, 0, lambda w: qml.Barrier(w)),
    "BasisRotation": (4, 0, lambda w: qml.BasisRotation(w, unitary(np.random.default_rng(5), 4))),
    "GateFabric's parts": (4, 1, lambda a, w: qml.prod(qml.DoubleExcitation(a, w), qml.OrbitalRotation(2 * a, w))),
}


def measurements(rng, n):
    """Probabilities, expectation values and variances of all kinds, and the state."""
    i, j, k = rng.permutation(n)[:3].tolist()
    hopping = qml.X(i) @ qml.X(j) + qml.Y(i) @ qml.Y(j)
    matrix = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4))
    return [
        qml.probs(wires=[j, i]),
        qml.expval(qml.Z(i) @ qml.Z(k)),
        qml.var(qml.Z(j)),
        qml.expval(0.3 * hopping @ qml.Z(k) - 0.7 * qml.Z(j) + 0.2 * qml.I(0)),
        qml.var(0.5 * hopping + 0.1 * qml.Z(k)),
        qml.expval(qml.X(i) @ qml.Y(k)),
        qml.var(qml.X(i) @ qml.Z(k)),
        qml.expval(qml.Projector([1, 0], wires=[k, i])),
        qml.expval(qml.Hermitian(matrix + matrix.conj().T, wires=[j, k])),
        qml.var(qml.Hermitian(matrix + matrix.conj().T, wires=[i, k])),
    ]


def node(circuit, n, device="qicircuits.subspace", **options):
    return qml.QNode(circuit, qml.device(device, wires=n), **options)


def layer(theta, n, weight):
    qml.BasisState([1] * weight + [0] * (n - weight), wires=range(n))
    orthogonal_layer(theta, brickwork(n))
