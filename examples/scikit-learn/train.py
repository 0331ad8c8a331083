"""A small network on handwritten digits, which scikit-learn brings; all it does is print."""

import argparse

from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--hidden", type=int, nargs="+", default=[64])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x / 16, y, random_state=args.seed)
    model = MLPClassifier(args.hidden, learning_rate_init=args.lr, random_state=args.seed)
    for epoch in range(args.epochs):
        model.partial_fit(x_train, y_train, classes=range(10))
        test_loss = log_loss(y_test, model.predict_proba(x_test))
        print(
            f"epoch {epoch + 1}: train loss {model.loss_:.4f}, test loss {test_loss:.4f},"
            f" test accuracy {model.score(x_test, y_test):.4f}"
        )


if __name__ == "__main__":
    main()
