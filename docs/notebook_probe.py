# %% [markdown]
# # A linear probe on features
#
# How much do a model's features know that it was never asked? The vector before the head is frozen, and a linear classifier is
# fitted to it. Here the built-in model, which was trained to tell ten kinds of clothing, is asked that with few labels, and then
# something else: is there more light in the upper half of the picture?

# %%
import gzip

import numpy as np

import mohvit

MNIST = "/usr/share/datasets/fashion-mnist/"  # Debian's dataset-fashion-mnist
TRAIN, TEST = 1500, 500


def pictures(name, n):
    """(n, 28, 28, 3) pixels and (n) classes of a part of Fashion-MNIST."""
    with gzip.open(f"{MNIST}{name}-images-idx3-ubyte.gz") as file:
        gray = np.frombuffer(file.read(16 + n * 784)[16:], np.uint8).reshape(n, 28, 28, 1)
    with gzip.open(f"{MNIST}{name}-labels-idx1-ubyte.gz") as file:
        return np.repeat(gray, 3, axis=-1), np.frombuffer(file.read(8 + n)[8:], np.uint8)


train, train_classes = pictures("train", TRAIN)
test, test_classes = pictures("t10k", TEST)

# %% [markdown]
# The features of all pictures, in two calls.

# %%
model = mohvit.Model()
train_features, test_result = model(train).features, model(test)
print("features:", train_features.shape)


# %% [markdown]
# Ridge regression on one column for each class is a linear classifier without a training loop.

# %%
def probe(features, classes, ridge=1.0):
    """Weights and bias of a linear classifier."""
    mean = features.mean(axis=0)
    x, y = features - mean, np.eye(classes.max() + 1)[classes]
    weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ (y - y.mean(axis=0)))
    return weights, y.mean(axis=0) - mean @ weights


def accuracy(fitted, features, classes):
    weights, bias = fitted
    return ((features @ weights + bias).argmax(axis=1) == classes).mean()


# %% [markdown]
# First the question that the model was trained for, with five labelled pictures of each class: the probe should come near to
# the model's own head.

# %%
few = np.concatenate([np.flatnonzero(train_classes == k)[:5] for k in range(10)])
own = (test_result.logits.argmax(axis=1) == test_classes).mean()
clothing = accuracy(probe(train_features[few], train_classes[few]), test_result.features, test_classes)
print(f"kind of clothing: own head {100 * own:.1f} %, probe of 50 pictures {100 * clothing:.1f} %")


# %% [markdown]
# Then the one that it was not. Better than the commoner answer means that features keep something of where light is.

# %%
def more_light_above(images):
    return (images[:, :14].sum(axis=(1, 2, 3), dtype=np.int64) > images[:, 14:].sum(axis=(1, 2, 3), dtype=np.int64)) + 0


light = accuracy(probe(train_features, more_light_above(train)), test_result.features, more_light_above(test))
common = max(more_light_above(test).mean(), 1 - more_light_above(test).mean())
print(f"more light above: probe {100 * light:.1f} %, the commoner answer alone {100 * common:.1f} %")
