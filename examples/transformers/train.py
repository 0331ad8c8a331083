"""Which of two letters does a text hold more of? A tiny BERT from a config, trained with the Hugging Face Trainer."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
    set_seed,
)


@dataclass
class ModelArguments:
    hidden_size: int = 32
    num_hidden_layers: int = 2


class Letters(Dataset):
    def __init__(self, count, seed):
        random = np.random.default_rng(seed)
        self.texts = random.integers(0, 8, (count, 24))
        self.labels = ((self.texts == 1).sum(1) > (self.texts == 2).sum(1)).astype(int)

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, at):
        return {"input_ids": torch.tensor(self.texts[at]), "labels": int(self.labels[at])}


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def main():
    model_args, training_args = HfArgumentParser(
        (ModelArguments, TrainingArguments)
    ).parse_args_into_dataclasses()
    set_seed(training_args.seed)
    config = BertConfig(
        vocab_size=8,
        hidden_size=model_args.hidden_size,
        num_hidden_layers=model_args.num_hidden_layers,
        num_attention_heads=2,
        intermediate_size=2 * model_args.hidden_size,
        max_position_embeddings=24,
    )
    trainer = Trainer(
        model=BertForSequenceClassification(config),
        args=training_args,
        train_dataset=Letters(2000, 0),
        eval_dataset=Letters(500, 1),
        compute_metrics=accuracy,
    )
    trainer.train()


if __name__ == "__main__":
    main()
