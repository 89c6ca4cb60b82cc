"""RAMDA in the Hugging Face Trainer: a small BERT finds out that the first word decides, and drops all attention."""

import torch
from optkit.regularizers import GroupLasso
from optkit.torch import RAMDA, regularize, structured
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

set_seed(0)
words = torch.randint(0, 50, (1024, 8))
labels = (words[:, 0] < 25).long()
data = [{"input_ids": x, "labels": y} for x, y in zip(words, labels, strict=True)]


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(axis=1) == prediction.label_ids).mean())}


config = BertConfig(
    vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_labels=2
)
model = BertForSequenceClassification(config)
optimizer = RAMDA(regularize(model, GroupLasso(1e-4)), lr=1e-2, averaging=0.1)
arguments = TrainingArguments(
    output_dir="checkpoints",
    per_device_train_batch_size=64,
    num_train_epochs=5,
    logging_strategy="epoch",
    report_to="none",
    disable_tqdm=True,
    use_cpu=True,
)
trainer = Trainer(
    model,
    arguments,
    train_dataset=data[:896],
    eval_dataset=data[896:],
    compute_metrics=accuracy,
    optimizers=(optimizer, None),  # None: the scheduler that the arguments name, a linear decay
)
trainer.train()

with structured(model, optimizer):
    print(f"accuracy {100 * trainer.evaluate()['eval_accuracy']:.1f} %")
    trainer.save_model("classifier")

shipped = BertForSequenceClassification.from_pretrained("classifier")
for name, module in shipped.named_modules():
    if isinstance(module, torch.nn.Linear):
        zero = (module.weight == 0).all(dim=0)
        print(f"{name}: {zero.sum()} of {len(zero)} columns zero")
