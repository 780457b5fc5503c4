//! Goal: the examples do what they say. Method: each is run, as it is; their assertions are the test.

#![cfg(feature = "clock")]

#[path = "../examples/basic.rs"]
mod basic;
#[path = "../examples/get_or_insert.rs"]
mod get_or_insert;
#[path = "../examples/task.rs"]
mod task;
#[path = "../examples/threads.rs"]
mod threads;

#[test]
fn basic() {
    basic::main().unwrap();
}

#[test]
fn get_or_insert() {
    get_or_insert::main().unwrap();
}

#[test]
fn task() {
    task::main().unwrap();
}

#[test]
fn threads() {
    threads::main().unwrap();
}
