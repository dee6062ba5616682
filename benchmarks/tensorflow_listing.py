"""The MLP GAN of the classic TensorFlow listing, in its own style, for benchmarks.peers; runs in any Python with TensorFlow.

python tensorflow_listing.py IMAGES UPDATES THREADS [function]: prints the time after each update, as JSON. IMAGES is MNIST's
idx file. Networks, optimizers and loop are the listing's: eager as published, or with `function` its step as tf.function.
Its error is corrected, which does not change the time: the loss gets labels and logits in the right order.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

Z, BATCH = 100, 32


def network(sizes: tuple[int, ...], last: str | None) -> tf.keras.Model:
    layers: list = [tf.keras.Input((sizes[0],))]
    for size in sizes[1:-1]:
        layers += [tf.keras.layers.Dense(size, use_bias=False), tf.keras.layers.LeakyReLU(0.2)]
    return tf.keras.Sequential([*layers, tf.keras.layers.Dense(sizes[-1], use_bias=False, activation=last)])


def main(path: Path, updates: int, threads: int, compiled: bool) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    generator, discriminator = network((Z, 256, 128, 784), "tanh"), network((784, 256, 128, 1), None)
    loss = tf.keras.losses.BinaryCrossentropy(from_logits=True)
    g_optimizer, d_optimizer = tf.keras.optimizers.Adam(1e-4), tf.keras.optimizers.Adam(1e-4)

    def step(real: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        z = tf.random.normal([BATCH, Z])
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            fake = generator(z, training=True)
            real_logits, fake_logits = discriminator(real, training=True), discriminator(fake, training=True)
            g_loss = loss(tf.ones_like(fake_logits), fake_logits)
            d_loss = loss(tf.ones_like(real_logits), real_logits) + loss(tf.zeros_like(fake_logits), fake_logits)
        for tape, value, model, optimizer in (
            (g_tape, g_loss, generator, g_optimizer),
            (d_tape, d_loss, discriminator, d_optimizer),
        ):
            gradients = tape.gradient(value, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return g_loss, d_loss

    update = tf.function(step) if compiled else step
    images = np.fromfile(path, np.uint8, offset=16).reshape(-1, 784).astype(np.float32) / 127.5 - 1
    data = tf.data.Dataset.from_tensor_slices(images).shuffle(60_000).batch(BATCH, drop_remainder=True).repeat()
    ticks = []
    for batch in data.take(updates):
        update(batch)
        ticks.append(time.perf_counter())
    print(json.dumps(ticks))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), "function" in sys.argv[4:])
