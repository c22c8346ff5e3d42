# %% [markdown]
# # Which heads work for which class
#
# In a MoH-ViT each patch of an image picks some of the attention heads. Do images of one class pick the same ones? This counts
# it on Fashion-MNIST, with the small model that is built in.

# %%
import gzip

import matplotlib.pyplot as plt
import numpy as np

import mohvit

MNIST = "/usr/share/datasets/fashion-mnist/t10k"  # Debian's dataset-fashion-mnist
N = 1000

with gzip.open(MNIST + "-images-idx3-ubyte.gz") as file:
    gray = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 28, 28)[:N]
with gzip.open(MNIST + "-labels-idx1-ubyte.gz") as file:
    classes = np.frombuffer(file.read()[8:], np.uint8)[:N]
images = np.repeat(gray[..., None], 3, axis=-1)  # red, green and blue are the same

# %% [markdown]
# One call classifies all images, on all cores. Beside the logits it says for every block how many patches picked each head.

# %%
model = mohvit.Model()
result = model(images)
top1 = (result.logits.argmax(axis=1) == classes).mean()
print(f"top-1: {100 * top1:.2f} %")
print("patches that picked each head of the last block, first image:", result.head_tokens[0, -1])

# %% [markdown]
# A head load adds that up by class. The bars of a class add up to the number of heads that each patch picks, 6 of 14. Heads far
# above the dashed line work for the class, those near zero have nothing to do with it.

# %%
load = mohvit.HeadLoad(model)
load.add(result, classes)
load.plot(["Sneaker", "Bag", "Dress"]).savefig("heads_of_classes.png")
load.plot(heatmap=True).savefig("heads_of_all_classes.png")

# %% [markdown]
# Which classes route alike? The distance between two classes is how much their loads differ, on average over the heads.

# %%
block = model.layout[-1]
loads = load.loads[:, -1, block.shared:block.heads]
distance = np.abs(loads[:, None] - loads[None]).mean(axis=2)
np.fill_diagonal(distance, np.inf)
for k, label in enumerate(load.labels):
    nearest = distance[k].argmin()
    print(f"{label:12} routes most like {load.labels[nearest]:12} ({distance[k, nearest]:.3f})")

# %% [markdown]
# And where on the image? The gates tell, patch by patch. In the first stage a patch is 4 pixels of the network's input.

# %%
sneaker = int(np.flatnonzero(classes == load.labels.index("Sneaker"))[0])
gates = model(images[sneaker], gates=True).gates("1.0")[0]  # (tokens, heads)
side = int(np.sqrt(len(gates)))
figure, axes = plt.subplots(1, 1 + gates.shape[1], figsize=(10, 2.4), layout="constrained")
axes[0].imshow(images[sneaker])
axes[0].set_title("image")
shared = model.layout[0].shared
for head, panel in enumerate(axes[1:]):
    picture = panel.imshow(gates[:, head].reshape(side, side), vmin=0, vmax=gates.max())  # one scale for all heads
    panel.set_title(f"s{head + 1}, shared" if head < shared else f"r{head - shared + 1}, routed")
for panel in axes:
    panel.axis("off")
figure.colorbar(picture, ax=axes[1:], label="gate")
figure.savefig("gates_of_a_sneaker.png")
