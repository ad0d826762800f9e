//! What an image says about its processes, where a caller leaves it open. Pure.

use banger_agent_proto::{ExecStart, ProcessDefaults};

/// How a shell starts that nobody named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    /// Reads the user's profile, as after a login.
    Login,
    /// Keeps the environment: an image that has one of its own has it there, and a profile would set its PATH anew.
    Plain,
}

/// Returns the start with everything filled in that the image says and the caller does not.
pub(crate) fn filled_in(start: ExecStart, defaults: Option<&ProcessDefaults>) -> (ExecStart, Shell) {
    let Some(defaults) = defaults else { return (start, Shell::Login) };
    let mut filled = start;
    // Later ones win, so the caller's come last.
    filled.environment = defaults.environment.iter().cloned().chain(filled.environment).collect();
    if filled.user.is_empty() {
        filled.user.clone_from(&defaults.user);
    }
    if filled.working_directory.is_empty() {
        filled.working_directory = match defaults.working_directory.as_ref() {
            [] => "/".into(),
            directory => directory.to_vec().into(),
        };
    }
    if filled.argv.is_empty() && filled.image_command {
        filled.argv.clone_from(&defaults.command);
    }
    (filled, Shell::Plain)
}

#[cfg(test)]
mod tests {
    use banger_agent_proto::EnvironmentVariable;

    use super::*;

    fn variable(name: &'static str, value: &'static str) -> EnvironmentVariable {
        EnvironmentVariable { name: name.into(), value: value.into() }
    }

    fn defaults() -> ProcessDefaults {
        ProcessDefaults {
            command: vec!["/entry".into(), "-x".into()],
            environment: vec![variable("A", "image"), variable("B", "image")],
            user: "7:8".into(),
            working_directory: "/srv".into(),
        }
    }

    #[test]
    fn without_defaults_nothing_changes() {
        let start = ExecStart { image_command: true, ..ExecStart::default() };
        assert_eq!(filled_in(start.clone(), None), (start, Shell::Login));
    }

    #[test]
    fn what_the_caller_leaves_open_is_the_images() {
        let (start, shell) = filled_in(ExecStart::default(), Some(&defaults()));
        assert_eq!(
            (start.user.as_str(), start.working_directory.as_ref(), shell),
            ("7:8", &b"/srv"[..], Shell::Plain)
        );
        assert!(start.argv.is_empty(), "nobody asked for the image's command");
        let asked = ExecStart { image_command: true, ..ExecStart::default() };
        assert_eq!(filled_in(asked, Some(&defaults())).0.argv, defaults().command);
        let bare = ProcessDefaults::default();
        assert_eq!(filled_in(ExecStart::default(), Some(&bare)).0.working_directory.as_ref(), b"/");
    }

    #[test]
    fn the_callers_wishes_come_first() {
        let wish = ExecStart {
            argv: vec!["sh".into()],
            environment: vec![variable("A", "caller")],
            working_directory: "/tmp".into(),
            user: "root".into(),
            image_command: true,
            ..ExecStart::default()
        };
        let (start, _) = filled_in(wish.clone(), Some(&defaults()));
        assert_eq!(
            (&start.argv, &start.user, &start.working_directory),
            (&wish.argv, &wish.user, &wish.working_directory)
        );
        assert_eq!(start.environment.last(), Some(&variable("A", "caller")));
    }
}
