use super::*;

#[test]
fn flags_are_consistent() {
    Flags::command().debug_assert();
    let command = Flags::command();
    for (argument, name, variable) in settings(&command) {
        let id = name.replace('-', "_");
        assert_eq!(argument.get_id(), id.as_str());
        assert_eq!(variable, format!("FLAGSTONE_{}", id.to_uppercase()));
    }
    let with_variable = command.get_arguments().filter(|a| a.get_env().is_some());
    assert_eq!(with_variable.count(), settings(&command).count());
}
