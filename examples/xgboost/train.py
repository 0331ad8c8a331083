"""Boosted trees on synthetic data; all it does is print."""

import argparse

import numpy as np
import xgboost as xgb


def table(count, random):
    x = random.normal(size=(count, 20))
    y = (x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + 0.5 * random.normal(size=count) > 0).astype(int)
    return xgb.DMatrix(x, y)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--eta", type=float, default=0.1)
    parser.add_argument("--max-depth", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    random = np.random.default_rng(args.seed)
    train, validation = table(40_000, random), table(5_000, random)
    xgb.train(
        {"objective": "binary:logistic", "eta": args.eta, "max_depth": args.max_depth, "seed": args.seed},
        train,
        num_boost_round=args.rounds,
        evals=[(train, "train"), (validation, "validation")],
    )


if __name__ == "__main__":
    main()
