"""Augmentation of whole batches in TensorFlow, for pictures that have no up or down.

Every function is a pure function of its arguments and a seed (int32 (2,)), so that a resumed run sees the same pictures.
One geometric resampling makes the network's input straight from the larger intermediate picture, whose size is such
that the result is about as sharp as what Pillow's filter makes at validation (EXPERIMENTS.md).
"""

import math
from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Augmentation:
    """How far augmentation goes. The defaults are run 1's (EXPERIMENTS.md)."""

    smallest_crop: float = 0.6  # side of the cut-out square relative to the picture; the largest is 1.05
    stretch: float = 0.1  # largest change of width against height, as a log ratio
    free_rotation: float = 0.5  # share of pictures turned by any angle, not only by quarter turns
    brightness: float = 0.15
    contrast: float = 0.2
    saturation: float = 0.25
    white_balance: float = 0.08  # dermatoscopes differ in the colour of their light
    coarse: float = 0.0  # share of pictures reduced to fewer pixels and enlarged again
    coarsest: float = 0.42  # pixels a side left of one: 94 of 224
    noise: float = 0.0  # largest standard deviation, in grey levels; most pictures get far less
    motion: float = 0.0  # share of pictures blurred along a line
    jpeg: float = 0.0  # share of pictures compressed by JPEG, of quality 10 to 80
    rim: float = 0.0  # share of pictures with a dark rim, as a round field of view leaves it
    ruler: float = 0.0  # share of pictures with the ticks of a ruler
    mixed: float = 0.5  # share of pictures mixed with another one: half mix-up, half CutMix
    mixup_alpha: float = 0.4  # arXiv:1710.09412
    label_smoothing: float = 0.05


def augment(
    pictures: tf.Tensor,
    labels: tf.Tensor,
    size: int,
    settings: Augmentation,
    seed: tf.Tensor,
    shown: tf.Tensor | None = None,
    groups: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """pictures: uint8 (N, S, S, 3), labels: float32 (N, 7) one-hot -> float32 (N, size, size, 3) in [0, 255], (N, 7).

    shown: float32 (N, 7), 1 for the classes that the picture's source shows, among which labels are smoothed; None: all.
    groups: int (N,), the picture's source, within which pictures are mixed; None: one source.
    """
    seeds = tf.unstack(tf.random.split(seed, 5))
    images = turn_and_crop(pictures, size, settings, seeds[0])
    if settings.rim:
        images = rimmed(images, settings, seeds[4])
    if settings.ruler:
        images = ruled(images, settings, seeds[4])
    images = sharpen_or_blur(images, seeds[1])
    images = colour(images, settings, seeds[2])
    groups = tf.zeros([tf.shape(pictures)[0]], tf.int32) if groups is None else groups
    return mix(images, smooth(labels, settings.label_smoothing, shown), settings, seeds[3], partners(groups))


def degraded(images: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """What a photo suffers on its way, its labels unharmed: lost pixels, motion, noise, compression.

    float32 (N, S, S, 3) in [0, 255], unchanged in shape.
    """
    seeds = tf.unstack(tf.random.split(seed, 4))
    for share, way, own in zip(
        (settings.coarse, settings.motion, settings.noise, settings.jpeg),
        (coarsened, moved, noisy, compressed),
        seeds,
        strict=True,
    ):
        if share:
            images = way(images, settings, own)
    return images


def smooth(labels: tf.Tensor, amount: float, shown: tf.Tensor | None = None) -> tf.Tensor:
    """Label smoothing. labels: float32 (N, C), rows sum to 1 -> the same with `amount` spread over all classes, or over those
    for which `shown`, float32 (N, C), is 1."""
    shown = tf.ones_like(labels) if shown is None else shown
    return labels * (1 - amount) + amount * shown / tf.reduce_sum(shown, -1, keepdims=True)


def partners(groups: tf.Tensor) -> tf.Tensor:
    """With which picture each one is mixed: the next of its own group; the last of a group with itself.

    groups: int (N,) -> int32 (N,) of indices.
    """
    order = tf.argsort(groups, stable=True)
    following = tf.roll(order, -1, 0)
    alike = tf.equal(tf.gather(groups, order), tf.gather(groups, following))
    last = tf.range(tf.shape(order)[0]) == tf.shape(order)[0] - 1
    partner = tf.where(tf.logical_and(alike, tf.logical_not(last)), following, order)
    return tf.scatter_nd(order[:, None], partner, tf.shape(order))


def rimmed(images: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Darken what lies outside a disc, in a share of the batch: many sources show a round field of view, and none of them may
    be told by it. float32 (N, S, S, 3) in [0, 255], unchanged in shape."""
    count, size = tf.shape(images)[0], images.shape[1]
    seeds = tf.unstack(tf.random.split(seed, 4))
    grid = (tf.range(size, dtype=tf.float32) + 0.5) * 2 / size - 1  # -1 to 1 from edge to edge
    middle = tf.random.stateless_uniform([2, count], seeds[0], -0.15, 0.15)
    radius = tf.random.stateless_uniform([count], seeds[1], 0.8, 1.3)[:, None, None]
    edge = tf.random.stateless_uniform([count], seeds[2], 0.02, 0.2)[:, None, None]
    distance = tf.sqrt(
        (grid - middle[0][:, None])[:, None, :] ** 2 + (grid - middle[1][:, None])[:, :, None] ** 2
    )
    light = tf.clip_by_value((radius - distance) / edge + 0.5, 0, 1)[..., None]
    chosen = tf.random.stateless_uniform([count, 1, 1, 1], seeds[3]) < settings.rim
    return tf.where(chosen, images * light, images)


def ruled(images: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Draw the ticks of a ruler along one edge of a share of the batch. float32 (N, S, S, 3) in [0, 255], unchanged in shape."""
    count, size = tf.shape(images)[0], images.shape[1]
    seeds = tf.unstack(tf.random.split(tf.random.split(seed, 2)[1], 5))
    grid = (tf.range(size, dtype=tf.float32) + 0.5) / size
    period = tf.random.stateless_uniform([count], seeds[0], 0.06, 0.15)[:, None]
    edge = tf.random.stateless_uniform([count], seeds[1], 0.0, 0.12)[:, None]
    length = tf.random.stateless_uniform([count], seeds[2], 0.03, 0.1)[:, None]
    ticks = tf.math.floormod(grid, period) < tf.maximum(period * 0.15, 1 / size)
    band = tf.logical_and(grid >= edge, grid < edge + length)
    drawn = tf.logical_and(band[:, :, None], ticks[:, None, :])
    across = tf.random.stateless_uniform([count, 1, 1], seeds[3]) < 0.5
    drawn = tf.where(across, tf.transpose(drawn, [0, 2, 1]), drawn)[..., None]
    chosen = tf.random.stateless_uniform([count, 1, 1, 1], seeds[4]) < settings.ruler
    return tf.where(tf.logical_and(chosen, drawn), images * 0.25, images)


def turn_and_crop(images: tf.Tensor, size: int, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Mirror, turn, stretch and crop at random, then reduce. uint8 (N, S, S, 3) -> float32 (N, size, size, 3)."""
    count, source = tf.shape(images)[0], images.shape[1]
    seeds = tf.unstack(tf.random.split(seed, 6))

    def uniform(which: int, low: float, high: float) -> tf.Tensor:
        return tf.random.stateless_uniform([count], seeds[which], low, high)

    quarter = tf.floor(uniform(0, 0, 4)) * (math.pi / 2)
    free = tf.where(uniform(1, 0, 1) < settings.free_rotation, uniform(0, 0, 2 * math.pi), quarter)
    mirror = tf.where(uniform(2, 0, 1) < 0.5, -1.0, 1.0)
    crop = uniform(3, settings.smallest_crop, 1.05)
    stretch = tf.exp(uniform(4, -settings.stretch / 2, settings.stretch / 2))
    shift = tf.random.stateless_uniform([2, count], seeds[5], -0.5, 0.5) * tf.maximum(1 - crop, 0) * source

    scale = crop * source / size
    cos, sin = tf.cos(free) * scale, tf.sin(free) * scale
    a0, a1 = cos * stretch * mirror, -sin / stretch
    b0, b1 = sin * stretch * mirror, cos / stretch
    middle_out, middle_in = (size - 1) / 2, (source - 1) / 2
    a2 = middle_in + shift[0] - (a0 + a1) * middle_out
    b2 = middle_in + shift[1] - (b0 + b1) * middle_out
    zero = tf.zeros_like(a0)
    turned = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1),
        output_shape=[size, size],
        interpolation="BILINEAR",
        fill_mode="REFLECT",
        fill_value=0.0,
    )
    return tf.cast(turned, tf.float32) + 0.5  # on average what the projection cuts off bytes


def sharpen_or_blur(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Move each picture towards or away from its 3x3 mean. float32 (N, S, S, 3), unchanged in shape."""
    amount = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed, -0.8, 0.7)
    return images + amount * (tf.nn.avg_pool2d(images, 3, 1, "SAME") - images)


def colour(images: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Brightness, contrast, saturation and white balance as one matrix a picture. float32 (N, S, S, 3) in [0, 255]."""
    count = tf.shape(images)[0]
    seeds = tf.unstack(tf.random.split(seed, 4))

    def around_one(which: int, by: float, *shape: int) -> tf.Tensor:
        return tf.random.stateless_uniform([count, *shape], seeds[which], 1 - by, 1 + by)

    saturation = around_one(0, settings.saturation, 1, 1)
    luma = tf.constant([[0.299], [0.587], [0.114]]) @ tf.ones([1, 3])  # a pixel times this is its grey value
    contrast = around_one(1, settings.contrast, 1, 1)
    gain = around_one(2, settings.white_balance, 1, 3) * around_one(3, settings.brightness, 1, 1)
    matrix = (saturation * tf.eye(3) + (1 - saturation) * luma) * contrast * gain
    offset = (1 - contrast) * 127.0 * gain
    flat = tf.reshape(images, [count, -1, 3])
    return tf.reshape(tf.clip_by_value(flat @ matrix + offset, 0, 255), tf.shape(images))


def coarsened(images: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Reduce a share of the batch to fewer pixels, the same number for all, and enlarge it again.

    float32 (N, S, S, 3) in [0, 255], unchanged in shape.
    """
    seeds = tf.unstack(tf.random.split(seed, 2))
    size = images.shape[1]
    left = tf.random.stateless_uniform([], seeds[0], settings.coarsest, 0.9)
    side = tf.cast(tf.round(left * size), tf.int32)
    reduced = tf.image.resize(images, [side, side], method="bicubic", antialias=True)
    enlarged = tf.ensure_shape(tf.image.resize(reduced, [size, size]), images.shape)
    chosen = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seeds[1]) < settings.coarse
    return tf.clip_by_value(tf.where(chosen, enlarged, images), 0, 255)


def noisy(images: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Add Gaussian noise whose strength differs from picture to picture. float32 (N, S, S, 3) in [0, 255]."""
    seeds = tf.unstack(tf.random.split(seed, 2))
    strength = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seeds[0]) ** 3 * settings.noise
    grain = tf.random.stateless_normal(tf.shape(images), seeds[1])
    return tf.clip_by_value(images + strength * grain, 0, 255)


def moved(images: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Blur a share of the batch along a line, the same for all, of at most a tenth of a side.

    float32 (N, S, S, 3) in [0, 255], unchanged in shape.
    """
    seeds = tf.unstack(tf.random.split(seed, 3))
    half = images.shape[1] // 20
    angle = tf.random.stateless_uniform([], seeds[0], 0, math.pi)
    length = tf.random.stateless_uniform([], seeds[1], 1, half + 0.5)  # from its middle
    y, x = tf.unstack(
        tf.cast(tf.stack(tf.meshgrid(*[tf.range(-half, half + 1)] * 2, indexing="ij")), tf.float32)
    )
    along, across = x * tf.cos(angle) + y * tf.sin(angle), y * tf.cos(angle) - x * tf.sin(angle)
    line = tf.nn.relu(1 - tf.abs(across)) * tf.clip_by_value(length - tf.abs(along) + 0.5, 0, 1)
    kernel = tf.tile((line / tf.reduce_sum(line))[:, :, None, None], [1, 1, 3, 1])
    padded = tf.pad(images, [[0, 0], [half, half], [half, half], [0, 0]], "REFLECT")
    blurred = tf.nn.depthwise_conv2d(padded, kernel, [1, 1, 1, 1], "VALID")
    chosen = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seeds[2]) < settings.motion
    return tf.where(chosen, blurred, images)


def compressed(images: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Compress a share of the batch by JPEG, each picture in its own quality. float32 (N, S, S, 3) in [0, 255]."""
    seeds = tf.unstack(tf.random.split(seed, 2))
    count = tf.shape(images)[0]
    chosen = tf.random.stateless_uniform([count], seeds[0]) < settings.jpeg
    quality = tf.random.stateless_uniform([count], seeds[1], 10, 81, tf.int32)

    def one(picture: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, chosen, quality = picture
        return tf.cond(
            chosen, lambda: tf.image.adjust_jpeg_quality(image / 255, quality) * 255, lambda: image
        )

    done = tf.map_fn(one, (images, chosen, quality), fn_output_signature=tf.TensorSpec(images.shape[1:]))
    return tf.ensure_shape(done, images.shape)


def mix(
    images: tf.Tensor, labels: tf.Tensor, settings: Augmentation, seed: tf.Tensor, partner: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mix-up (arXiv:1710.09412) or CutMix (arXiv:1905.04899) of a share of the batch, each with its partner.

    images: float32 (N, S, S, 3), labels: float32 (N, C) -> the same shapes; labels are mixed in the images' proportion.
    partner: int (N,), from `partners`.
    """
    count, size = tf.shape(images)[0], images.shape[1]
    seeds = tf.unstack(tf.random.split(seed, 5))
    kind = tf.random.stateless_uniform([count], seeds[0])
    gamma = tf.random.stateless_gamma([2, count], seeds[1], settings.mixup_alpha)
    own = (gamma[0] + 1e-6) / (gamma[0] + gamma[1] + 2e-6)  # Beta(alpha, alpha)
    own = tf.where(kind < settings.mixed / 2, tf.maximum(own, 1 - own), 1.0)

    side = tf.sqrt(
        tf.random.stateless_uniform([count], seeds[2], 0.0, 0.5)
    )  # of the pasted square, of the picture's
    cut = tf.logical_and(kind >= settings.mixed / 2, kind < settings.mixed)
    side = tf.where(cut, side, 0.0)
    corner = tf.random.stateless_uniform([2, count], seeds[3]) * (1 - side)
    grid = (tf.range(size, dtype=tf.float32) + 0.5) / size
    inside = [
        tf.logical_and(grid >= corner[axis][:, None], grid < (corner[axis] + side)[:, None])
        for axis in (0, 1)
    ]
    pasted = tf.cast(tf.logical_and(inside[0][:, :, None], inside[1][:, None, :]), tf.float32)[..., None]

    weight = own[:, None, None, None] * (1 - pasted)
    share = tf.reduce_mean(weight, axis=[1, 2, 3])[:, None]
    return (
        images * weight + tf.gather(images, partner) * (1 - weight),
        labels * share + tf.gather(labels, partner) * (1 - share),
    )
