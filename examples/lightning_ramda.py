"""RAMDA in PyTorch Lightning: structured weights in validation, checkpoints that resume exactly, and what to ship."""

import pytorch_lightning as pl
import torch
from optkit.algorithms import Stages
from optkit.regularizers import GroupLasso
from optkit.torch import RAMDA, StageScheduler, regularize, structured
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class Digits(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def configure_optimizers(self):
        optimizer = RAMDA(regularize(self, GroupLasso(5e-4)), lr=1e-2, averaging=0.1)
        return [optimizer], [StageScheduler(optimizer, Stages(milestones=(5, 10)))]  # after 5 and 10 epochs

    def training_step(self, batch, _):
        x, y = batch
        return nn.functional.cross_entropy(self.network(x), y)

    def validation_step(self, batch, _):
        x, y = batch
        with structured(self, self.trainer.optimizers[0]):
            self.log("accuracy", (self.network(x).argmax(dim=1) == y).float().mean())


def fit(epochs: int, checkpoint: str | None = None) -> pl.Trainer:
    """Train a fresh model, or the one in the checkpoint, until it has seen the data so many times."""
    pl.seed_everything(0, verbose=False)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        enable_checkpointing=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Digits(), training, validation, ckpt_path=checkpoint, weights_only=True)
    return trainer


images, labels = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
train, test = random_split(data, [0.8, 0.2], torch.Generator().manual_seed(0))
training, validation = DataLoader(train, batch_size=64), DataLoader(test, batch_size=500)

trainer = fit(15)
model, optimizer = trainer.lightning_module, trainer.optimizers[0]
print(f"validation accuracy {100 * trainer.callback_metrics['accuracy']:.1f} %")
for name, structure in optimizer.structure().items():
    print(f"{name}: {structure}")

fit(7).save_checkpoint("epoch7.ckpt")  # holds the training weights and the optimizer's state: to go on with
resumed = fit(15, checkpoint="epoch7.ckpt").lightning_module
same = all(torch.equal(p, q) for p, q in zip(model.parameters(), resumed.parameters(), strict=True))
print(f"resumed after epoch 7: {'bit for bit the same' if same else 'different'}")

with structured(model, optimizer):  # the exact zeros: to evaluate and ship
    torch.save(model.network.state_dict(), "digits.pt")
