//! Goal: what the pages tell a reader to type or to paste does what they say it does.
//! Method: each block of docs/clients.md that is marked `<!-- runs: PROGRAM MODULES; prints: WORDS -->` is run by its program
//! against a server, whose address stands in for `cache:7171`; and each `$ printf … | nc` and `$ redis-cli …` of README and quick
//! start is typed, and its answer compared with the lines beneath it. What is not installed is skipped by name.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common;
use crate::common::tool::{self, Scratch, find, finish, root, skip, succeed, text};

const PATIENCE: Duration = Duration::from_secs(60);

fn page(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect("a page")
}

/// An example of a page: who runs it, with which modules, and what it prints.
struct Example {
    program: String,
    modules: String,
    prints: String,
    code: String,
}

fn examples(page: &str) -> Vec<Example> {
    let marked = page.split("<!-- runs: ").skip(1);
    marked
        .map(|rest| {
            let (mark, rest) = rest.split_once(" -->").expect("an end of the mark");
            let (what, prints) = mark.split_once("; prints: ").expect("what it prints");
            let (program, modules) = what.split_once(' ').expect("a program and modules");
            let (_, block) = rest.split_once("```").expect("a block");
            let (_, block) = block.split_once('\n').expect("its language");
            let (code, _) = block.split_once("\n```").expect("the block's end");
            Example {
                program: program.to_owned(),
                modules: modules.to_owned(),
                prints: prints.to_owned(),
                code: format!("{code}\n"),
            }
        })
        .collect()
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program)
        .env("NODE_PATH", NODE_PATH)
        .args(arguments)
        .output();
    output.is_ok_and(|output| output.status.success())
}

/// Where Debian's packages for node lie.
const NODE_PATH: &str = "/usr/share/nodejs";

/// The program that runs it, if it and the modules are there.
fn runner(example: &Example) -> Option<Command> {
    let modules = || example.modules.split(", ");
    let has_all = |load: &dyn Fn(&str) -> Vec<String>| {
        modules().all(|module| {
            let arguments = load(module);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            succeeds(&example.program, &arguments)
        })
    };
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let is_there = match example.program.as_str() {
        "python" => return tool::python_with(&example.modules).map(Command::new),
        "ruby" => has_all(&|module| words(&["-W0", "-e", &format!("require '{module}'")])),
        "php" => has_all(&|module| {
            let code = format!("exit(extension_loaded('{module}') ? 0 : 1);");
            words(&["-r", &code])
        }),
        "perl" => has_all(&|module| words(&[&format!("-M{module}"), "-e", "1"])),
        "node" => has_all(&|module| words(&["-e", &format!("require('{module}')")])),
        other => panic!("{other} runs no example"),
    };
    is_there.then(|| {
        let mut command = Command::new(&example.program);
        command.env("NODE_PATH", NODE_PATH);
        if example.program == "ruby" {
            // Warnings of the packages' own sources.
            command.arg("-W0");
        }
        command
    })
}

#[test]
fn the_examples_of_clients_run() {
    let name = "the_examples_of_clients_run";
    let examples = examples(&page("docs/clients.md"));
    assert!(examples.len() >= 9, "{} examples", examples.len());
    let server = common::start();
    let scratch = Scratch::new("docs-examples");
    for (no, example) in examples.iter().enumerate() {
        let Some(mut command) = runner(example) else {
            skip(
                name,
                &format!("no {} with {}", example.program, example.modules),
            );
            continue;
        };
        let file = scratch.0.join(format!("example{no}"));
        let code = example
            .code
            .replace("cache:7171", &server.local_addr().to_string());
        assert_ne!(code, example.code, "an example with an address");
        std::fs::write(&file, code).expect("writes");
        let output = finish(command.arg(&file), PATIENCE);
        let said = String::from_utf8_lossy(&output.stdout);
        let context = format!("{}: {}", example.program, text(&output));
        assert!(output.status.success(), "{context}");
        // What packages complain of goes the other way.
        assert_eq!(said.lines().last(), Some(&*example.prints), "{context}");
    }
}

/// The commands of a page's blocks, each with the lines that are shown beneath it.
fn typed(page: &str) -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    for block in page.split("```console\n").skip(1) {
        let (block, _) = block.split_once("```").expect("the block's end");
        for part in block.split("$ ").skip(1) {
            let mut lines = part.lines().map(str::to_owned);
            let command = lines.next().expect("a command");
            all.push((command, lines.collect()));
        }
    }
    all
}

#[test]
fn what_is_typed_is_answered_as_shown() {
    let name = "what_is_typed_is_answered_as_shown";
    let nc_has_n = Command::new("nc").arg("-h").output().is_ok_and(|help| {
        let help = [help.stdout, help.stderr].concat();
        String::from_utf8_lossy(&help).contains("-N")
    });
    if !nc_has_n || find("redis-cli").is_none() {
        return skip(name, "netcat-openbsd or redis-tools not installed");
    }
    let mut count = 0;
    for file in ["README.md", "docs/quick-start.md"] {
        let server = common::start();
        let port = server.local_addr().port();
        for (command, expected) in typed(&page(file)) {
            let is_for_a_server = command.starts_with("printf") || command.starts_with("redis-cli");
            if !is_for_a_server {
                continue;
            }
            let command = command
                .replace("127.0.0.1 7171", &format!("127.0.0.1 {port}"))
                .replace("-p 7171", &format!("--no-raw -p {port}"));
            let said = succeed(Command::new("sh").args(["-c", &command]), PATIENCE);
            let said: Vec<String> = said.lines().map(str::to_owned).collect();
            assert_eq!(said, expected, "{file}: {command}");
            count += 1;
        }
    }
    assert!(count >= 6, "{count} commands");
}

/// The book has every page, and every link of it leads somewhere.
#[test]
fn the_books_pages_are_in_order() {
    let name = "the_books_pages_are_in_order";
    if find("python3").is_none() {
        return skip(name, "python3 not installed");
    }
    let script: &Path = &root().join("scripts/build-docs");
    succeed(Command::new(script).arg("--check"), PATIENCE);
}
