"""What an operation of a traced graph does, beside computing its outputs.

TensorFlow flags an operation as stateful if it reads a variable, draws noise, prints,
calls Python or is compiled for cuDNN, as well as if it changes something. To repeat an
operation it matters which of these it does.
"""

import re
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.python.framework import op_def_registry

# What only reads the resources among its inputs.
_READERS = re.compile(
    "ReadVariableOp|_ReadVariablesOp|VariableShape|VarIsInitializedOp|"
    "ResourceGather|ResourceGatherNd|IsResourceInitialized|"
    "LookupTable(Find|Size|Export)(V2)?|HashTableLookup|BoostedTrees.*Predict"
)
# What draws from a `tf.random.Generator`, and moves its variable.
_GENERATORS = (
    "RngReadAndSkip|Stateful(Uniform|UniformFullInt|UniformInt|StandardNormalV2|"
    "TruncatedNormal|RandomBinomial)"
)
# What may be repeated although it is flagged: it has no effect that a training sees.
# The buffer of `Empty` is written by others, which are repeated with it.
_HARMLESS = re.compile(
    "Assert|Print|PrintV2|CheckNumerics.*|Empty|DebugIdentity.*|"
    "Write.*Summary|Timestamp|"
    "CudnnRNN(Backprop)?(V2|V3)?|CudnnRNNCanonicalToParams(V2)?|"
    "CudnnRNNParamsToCanonical(V2)?"
)
# What changes a variable by its handle. In a loop, a branch or a function these are
# repeated from the value that the first run found, and undone.
_WRITERS = re.compile(
    "Assign(Add|Sub)?VariableOp|ResourceScatter.*|ResourceStridedSliceAssign|"
    f"ResourceApply.*|ResourceSparseApply.*|RngSkip|{_GENERATORS}"
)
# What draws noise from a state of its own, which nobody can put back. Outside of loops,
# branches and functions its outputs are used a second time. (Keras draws noise with
# stateless operations, whose clones repeat it by themselves.)
_NOISE = re.compile(
    "RandomUniform|RandomUniformInt|RandomStandardNormal|ParameterizedTruncatedNormal|"
    "TruncatedNormal|RandomShuffle|RandomGamma|RandomPoisson|RandomPoissonV2|"
    "Multinomial|SampleDistortedBoundingBox(V2)?|"
    f".*CandidateSampler|{_GENERATORS}"
)
_COLLECTIVES = re.compile("Collective.*|NcclAllReduce|CrossReplicaSum|AllToAll")
_PYTHON = re.compile("EagerPyFunc|PyFunc")

_LIBRARY = "_fuzzyhess_library"
_READ_ONLY = "_read_only_resource_inputs"  # set by TensorFlow on calls of functions


def is_of_tape(op: tf.Operation) -> bool:
    """Whether a `tf.GradientTape` has added it on its way back.

    Example:

    >>> w = tf.Variable(2.0)
    >>> @tf.function
    ... def step():
    ...     with tf.GradientTape() as tape:
    ...         loss = tf.exp(w)
    ...     print(is_of_tape(loss.op), is_of_tape(tape.gradient(loss, w).op))
    >>> step()
    False True
    """
    return "/gradient_tape/" in f"/{op.name}"


def is_python(op: tf.Operation) -> bool:
    """Whether it calls Python code, of which nobody knows what it does.

    Example:

    >>> with tf.Graph().as_default():
    ...     is_python(tf.constant(1.0).op)
    False
    """
    return _PYTHON.fullmatch(op.type) is not None


def changed_inputs(op: tf.Operation) -> list[int]:
    """Indices of the inputs that are resources which the operation may change.

    Example:

    >>> w = tf.Variable(1.0)
    >>> @tf.function
    ... def step():
    ...     w.assign_add(2 * w)
    ...     for op in tf.compat.v1.get_default_graph().get_operations():
    ...         if "Variable" in op.type:
    ...             print(op.type, changed_inputs(op))
    >>> step()
    ReadVariableOp []
    AssignAddVariableOp [0]
    """
    if _READERS.fullmatch(op.type):
        return []
    resources = [i for i, t in enumerate(op.inputs) if t.dtype == tf.resource]
    if resources and _READ_ONLY in op.node_def.attr:
        return sorted({*resources} - {*op.get_attr(_READ_ONLY)})
    return resources


def cannot_repeat(op: tf.Operation) -> str | None:
    """The type of an operation in it that must not run a second time, or None.

    Args:
        op: Operation of a traced graph; what its functions run counts as well.

    Returns:
        String or None.

    Example:

    >>> @tf.function
    ... def step(x):
    ...     square = tf.map_fn(lambda x: x * tf.random.normal([]), x)
    ...     for op in tf.compat.v1.get_default_graph().get_operations():
    ...         if cannot_repeat(op):
    ...             print(op.type, cannot_repeat(op))
    >>> step(tf.ones(3))
    While RandomStandardNormal
    """
    if not _function_names(op.node_def):
        return _verdict(op.type, op.op_def.is_stateful, op.node_def, in_function=False)
    for node, is_stateful in _nodes(op):
        found = _verdict(node.op, is_stateful, node, in_function=True)
        if found:
            return found
    return None


def is_collective(operation: str) -> bool:
    """Whether an operation of this type meets other replicas.

    Example:

    >>> is_collective("CollectiveReduceV2")
    True
    """
    return _COLLECTIVES.fullmatch(operation) is not None


def draws_noise(operation: str) -> bool:
    """Whether an operation of this type draws noise from a state of its own.

    Example:

    >>> draws_noise("RandomStandardNormal")
    True
    """
    return _NOISE.fullmatch(operation) is not None


def _verdict(
    operation: str, is_stateful: bool, node: NodeDef, in_function: bool
) -> str | None:
    if is_collective(operation):
        return operation
    if operation.startswith("CudnnRNN") and node.attr["dropout"].f > 0:
        return operation  # It draws another mask each time.
    # In a function nobody would notice if Python code answered differently.
    allowed = (_READERS, _HARMLESS, _WRITERS if in_function else _PYTHON)
    if not is_stateful or any(kind.fullmatch(operation) for kind in allowed):
        return None
    return operation


def _nodes(op: tf.Operation) -> Iterator[tuple[NodeDef, bool]]:
    """All nodes that the functions of `op` run, and whether each is flagged."""
    functions = _library(op.graph)
    names, seen = _function_names(op.node_def), set()
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in functions:
            yield NodeDef(op=name), True  # nobody knows what it does
            continue
        for node in functions[name].node_def:
            inner = _function_names(node)
            if inner:
                names += inner
            elif node.op in functions:
                names.append(node.op)
            else:
                yield node, op_def_registry.get(node.op).is_stateful


def _library(graph: tf.Graph) -> dict[str, FunctionDef]:
    """The functions that a graph knows, read once for all operations of a path."""
    version, functions = getattr(graph, _LIBRARY, (None, {}))
    if version != graph.version:
        functions = {
            function.signature.name: function
            for function in graph.as_graph_def().library.function
        }
        setattr(graph, _LIBRARY, (graph.version, functions))
    return functions


def _function_names(node: NodeDef) -> list[str]:
    """Names of the functions that an operation calls (loop bodies, branches)."""
    names = []
    for attribute in node.attr.values():
        names += [attribute.func.name] if attribute.HasField("func") else []
        names += [function.name for function in attribute.list.func]
    return names
