"""Less memory for gradients: activations of the backbone are computed again in the backward pass (`recompute`).

Chen et al., Training Deep Nets with Sublinear Memory Cost, section 3. The backbone is cut where a single tensor leads
from its first layers to the others. Only these tensors are kept for the backward pass, which computes one part at a
time again.

Keras's `RematScope` does not do this: in a compiled step it refuses models (`custom_gradient` takes no keywords there).
"""

import itertools
import math

import keras
import tensorflow as tf


def changing_variables(layers: list[keras.Layer]) -> list[keras.Variable]:
    """What a forward pass in training changes: moving statistics of batch norm, and seeds of dropout."""
    fixed = {id(weight) for layer in layers if not layer.trainable for weight in layer.weights}
    return [v for layer in layers for v in layer.non_trainable_variables if id(v) not in fixed]


def recomputed(part: keras.Model, inputs: tf.Tensor) -> tf.Tensor:
    """The output of a model in training, (B, ...) -> (B, ...); the gradient needs its inputs only.

    Computed again, it uses the same seeds, and does not update the moving statistics.
    """
    weights, changing = part.trainable_variables, changing_variables(part.layers)
    before = [(variable, tf.convert_to_tensor(variable)) for variable in changing]

    @tf.custom_gradient
    def call(x: tf.Tensor, *values: tf.Tensor):  # type: ignore[no-untyped-def]
        def run(x: tf.Tensor) -> tuple[tf.Tensor, ...]:
            with keras.StatelessScope([*zip(weights, values, strict=True), *before]) as scope:
                return part(x, training=True), *(scope.get_current_value(variable) for variable in changing)

        def backward(slopes: tf.Tensor, *_: tf.Tensor) -> list[tf.Tensor | None]:
            # Not before it is needed, and not merged with the first computation.
            with tf.control_dependencies([slopes]):
                again = tf.identity(x)
            learning = [*([again] if again.dtype.is_floating else []), *values]
            with tf.GradientTape() as tape:
                tape.watch(learning)
                output = run(again)[0]
            gradients = tape.gradient(output, learning, slopes, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            return gradients if again.dtype.is_floating else [None, *gradients]

        return run(x), backward

    output, *after = call(inputs, *map(tf.convert_to_tensor, weights))
    for variable, value in zip(changing, after, strict=True):
        variable.assign(value)
    return output


def split(model: keras.Model) -> list[keras.Model]:
    """The model as models that follow each other.

    The cuts need about the least memory: that of the tensors between the parts, and of the largest part.
    """
    operations = model.operations
    outputs = [operation.output for operation in operations]
    last_use = {id(x): place for place, each in enumerate(operations) for x in keras.tree.flatten(each.input)}
    sizes = [sum(math.prod(x.shape[1:]) for x in keras.tree.flatten(output)) for output in outputs]
    cuts, in_use = [], 0  # places after which nothing but the output of that place is used
    for place, output in enumerate(outputs[:-1]):
        if place and in_use <= place:
            cuts.append(place)
        in_use = max(in_use, *(last_use.get(id(x), 0) for x in keras.tree.flatten(output)))

    def memory(chosen: list[int]) -> int:
        ends = [0, *(cut + 1 for cut in chosen), len(sizes)]
        return sum(sizes[cut] for cut in chosen) + max(sum(sizes[a:b]) for a, b in itertools.pairwise(ends))

    tensors = [outputs[cut] for cut in min((_greedy(sizes, cuts, n) for n in range(1, len(cuts) + 2)), key=memory)]
    ends = [model.input, *tensors, model.output]
    return [keras.Model(start, end) for start, end in itertools.pairwise(ends)]


def _greedy(sizes: list[int], cuts: list[int], parts: int) -> list[int]:
    """The places at which a part would become larger than `1 / parts` of the whole."""
    chosen, start = [], 0
    for cut, following in itertools.pairwise([*cuts, len(sizes) - 1]):
        if sum(sizes[start : following + 1]) * parts > sum(sizes):
            chosen.append(cut)
            start = cut + 1
    return chosen
