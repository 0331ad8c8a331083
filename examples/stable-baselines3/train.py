"""PPO on CartPole, with TensorBoard events."""

import argparse

import gymnasium as gym
from stable_baselines3 import PPO


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--total-timesteps", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log-dir", default="runs/1")
    args = parser.parse_args()

    model = PPO(
        "MlpPolicy",
        gym.make("CartPole-v1"),
        learning_rate=args.learning_rate,
        n_steps=512,
        seed=args.seed,
        device="cpu",
        tensorboard_log=args.log_dir,
        verbose=1,
    )
    model.learn(total_timesteps=args.total_timesteps)
    model.save(f"{args.log_dir}/model")


if __name__ == "__main__":
    main()
