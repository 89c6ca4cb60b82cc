"""Train a small network on handwritten digits; print how well it reads unseen ones, and which inputs it ignores."""

import optkit.torch
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
train, test = random_split(data, [0.8, 0.2])

model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
epochs = 20
optimizer = optkit.torch.RAMDA(optkit.torch.regularize(model, optkit.regularizers.GroupLasso(5e-4)), averaging=0.1)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)

for _ in range(epochs):
    for x, y in DataLoader(train, batch_size=64, shuffle=True):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    scheduler.step()

with optkit.torch.structured(model, optimizer), torch.no_grad():
    x, y = test[:]
    correct = model(x).argmax(dim=1) == y
    print(f"test accuracy {100 * correct.float().mean():.1f} %")
    for name, weight in model.named_parameters():
        if weight.ndim == 2:  # a Linear layer has a column for each input
            zero = (weight == 0).all(dim=0)
            print(f"{name}: {zero.sum()} of {len(zero)} columns zero")
