//! The smallest trainer: a logistic map stands for learning. Standard library only.
//!
//! `tiny-agent-trainer --config FILE [--output DIR]`. Without --output it makes its own directory,
//! `experiments/results/<config stem>_rust_<seconds>/`, the way trainers do that know nothing of exptui.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

fn argument(name: &str) -> Option<String> {
    let words: Vec<String> = std::env::args().collect();
    let at = words.iter().position(|word| word == name)?;
    words.get(at + 1).cloned()
}

fn setting(config: &str, key: &str, default: f64) -> f64 {
    config
        .lines()
        .filter_map(|line| line.split_once('='))
        .find(|(name, _)| name.trim() == key)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(default)
}

fn own_directory(config: &Path) -> PathBuf {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let stem = config.file_stem().unwrap().to_string_lossy().into_owned();
    Path::new("experiments/results").join(format!("{stem}_rust_{seconds}"))
}

fn main() -> std::io::Result<()> {
    let config = PathBuf::from(argument("--config").expect("--config FILE"));
    let text = fs::read_to_string(&config)?;
    let output = argument("--output").map_or_else(|| own_directory(&config), PathBuf::from);
    fs::create_dir_all(&output)?;
    if !output.join("config.toml").exists() {
        fs::write(output.join("config.toml"), &text)?;
    }
    let (mut state, rate) = (setting(&text, "base_seed", 7.0) / 100.0, setting(&text, "learning_rate", 3.9));
    let mut metrics = fs::File::create(output.join("metrics.jsonl"))?;
    for epoch in 1..=setting(&text, "epochs", 3.0) as u32 {
        state = rate * state * (1.0 - state);
        writeln!(metrics, "{{\"epoch\": {epoch}, \"loss\": {state}}}")?;
        println!("epoch {epoch} loss {state}");
    }
    fs::write(output.join("metrics.json"), format!("{{\"final_loss\": {state}}}\n"))?;
    fs::write(output.join("model.bin"), state.to_le_bytes())
}
