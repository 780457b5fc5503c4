//! Writes the manual page and the shell completions, from the command line's own definition:
//! `cargo run -p flagstone-server --example generate`. A test keeps what is written up to
//! date. It is no subcommand, because the server's image would carry it for nothing.

use std::path::{Path, PathBuf};

use clap_complete::{Shell, generate_to};
use clap_mangen::Man;

/// Where they are, from the server's directory.
pub const DIR: &str = "../packaging";

/// Writes everything under `dir`, and says what.
pub fn generate(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    // A figure of this machine has no place in a manual.
    let command = flagstone_server::settings::flags::command().disable_help_subcommand(true);
    let mut written = Vec::new();
    let manual = dir.join("flagstone.1");
    let mut text = Vec::new();
    Man::new(command.clone())
        .date("")
        .source("Flagstone")
        .render(&mut text)?;
    std::fs::write(&manual, text)?;
    written.push(manual);
    let completions = dir.join("completions");
    std::fs::create_dir_all(&completions)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        written.push(generate_to(
            shell,
            &mut command.clone(),
            "flagstone",
            &completions,
        )?);
    }
    Ok(written)
}

#[allow(dead_code)] // The test has a `main` of its own.
fn main() -> std::io::Result<()> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(DIR);
    for path in generate(&dir)? {
        println!("{}", path.display());
    }
    Ok(())
}
