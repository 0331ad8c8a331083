//! Two half moons told apart by a small network; nothing but the standard library.
//!
//! cargo run --release -- --lr 0.1 --hidden 16 --epochs 300 --seed 1 --out runs/1

use std::fs;
use std::io::Write;
use std::path::PathBuf;

struct Options {
    lr: f64,
    hidden: usize,
    epochs: usize,
    seed: u64,
    out: PathBuf,
}

fn options() -> Options {
    let mut found = Options { lr: 0.1, hidden: 16, epochs: 300, seed: 1, out: PathBuf::from("runs/1") };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        match word.as_str() {
            "--lr" => found.lr = value.parse().expect("--lr is a number"),
            "--hidden" => found.hidden = value.parse().expect("--hidden is a whole number"),
            "--epochs" => found.epochs = value.parse().expect("--epochs is a whole number"),
            "--seed" => found.seed = value.parse().expect("--seed is a whole number"),
            "--out" => found.out = PathBuf::from(value),
            _ => panic!("unknown option {word}"),
        }
    }
    found
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

fn moons(count: usize, random: &mut Random) -> Vec<([f64; 2], f64)> {
    (0..count)
        .map(|at| {
            let angle = random.uniform() * std::f64::consts::PI;
            let (x, y) = if at % 2 == 0 {
                (angle.cos(), angle.sin())
            } else {
                (1.0 - angle.cos(), 0.5 - angle.sin())
            };
            ([x + 0.15 * random.normal(), y + 0.15 * random.normal()], (at % 2) as f64)
        })
        .collect()
}

struct Net {
    first: Vec<[f64; 3]>,
    second: Vec<f64>,
}

impl Net {
    fn new(hidden: usize, random: &mut Random) -> Self {
        let first = (0..hidden).map(|_| [random.normal(), random.normal(), 0.0]).collect();
        let second = (0..=hidden).map(|_| random.normal() / (hidden as f64).sqrt()).collect();
        Net { first, second }
    }

    fn forward(&self, x: &[f64; 2], hidden: &mut [f64]) -> f64 {
        let mut sum = *self.second.last().unwrap();
        for ((w, v), h) in self.first.iter().zip(&self.second).zip(hidden.iter_mut()) {
            *h = (w[0] * x[0] + w[1] * x[1] + w[2]).tanh();
            sum += v * *h;
        }
        1.0 / (1.0 + (-sum).exp())
    }

    fn learn(&mut self, x: &[f64; 2], y: f64, lr: f64, hidden: &mut [f64]) {
        let error = self.forward(x, hidden) - y;
        for ((w, v), h) in self.first.iter_mut().zip(&mut self.second).zip(hidden.iter()) {
            let back = error * *v * (1.0 - h * h);
            *v -= lr * error * h;
            w[0] -= lr * back * x[0];
            w[1] -= lr * back * x[1];
            w[2] -= lr * back;
        }
        *self.second.last_mut().unwrap() -= lr * error;
    }

    fn score(&self, data: &[([f64; 2], f64)], hidden: &mut [f64]) -> (f64, f64) {
        let (mut loss, mut right) = (0.0, 0);
        for (x, y) in data {
            let p = self.forward(x, hidden).clamp(1e-12, 1.0 - 1e-12);
            loss -= y * p.ln() + (1.0 - y) * (1.0 - p).ln();
            right += usize::from((p > 0.5) == (*y > 0.5));
        }
        (loss / data.len() as f64, right as f64 / data.len() as f64)
    }
}

fn main() -> std::io::Result<()> {
    let options = options();
    let mut random = Random::new(options.seed);
    let (train, test) = (moons(4000, &mut random), moons(1000, &mut random));
    let mut net = Net::new(options.hidden, &mut random);
    let mut hidden = vec![0.0; options.hidden];
    for epoch in 1..=options.epochs {
        for (x, y) in &train {
            net.learn(x, *y, options.lr, &mut hidden);
        }
        let (train_loss, _) = net.score(&train, &mut hidden);
        let (val_loss, val_acc) = net.score(&test, &mut hidden);
        println!("epoch {epoch}/{} train_loss={train_loss:.4} val_loss={val_loss:.4} val_acc={val_acc:.4}", options.epochs);
    }
    fs::create_dir_all(&options.out)?;
    let mut file = fs::File::create(options.out.join("weights.bin"))?;
    for value in net.first.iter().flatten().chain(&net.second) {
        file.write_all(&value.to_le_bytes())?;
    }
    Ok(())
}
