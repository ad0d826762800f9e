//! Fills in an image's process settings where a caller leaves them open. Pure.

use banger_agent_proto::{ExecStart, ProcessDefaults};

/// How a default shell is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    /// The shell reads the user's profile, as after a login.
    Login,
    /// The shell keeps the environment: an image may have its own, and a profile would reset its PATH.
    Plain,
}

/// A start, with the image's settings filled in where the caller has none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FilledIn {
    pub(crate) start: ExecStart,
    pub(crate) shell: Shell,
    /// Whether the working directory is the image's.
    pub(crate) is_images_directory: bool,
    /// Whether the command is the image's.
    pub(crate) is_images_command: bool,
}

/// Fills in a start.
pub(crate) fn filled_in(start: ExecStart, defaults: Option<&ProcessDefaults>) -> FilledIn {
    let mut filled =
        FilledIn { start, shell: Shell::Login, is_images_directory: false, is_images_command: false };
    let Some(defaults) = defaults else { return filled };
    filled.shell = Shell::Plain;
    let start = &mut filled.start;
    // Later variables win, so the caller's come last.
    start.environment.splice(0..0, defaults.environment.iter().cloned());
    if start.user.is_empty() {
        start.user.clone_from(&defaults.user);
    }
    if start.working_directory.is_empty() {
        start.working_directory = absolute(&defaults.working_directory).into();
        filled.is_images_directory = true;
    }
    if start.argv.is_empty() && start.image_command {
        start.argv.clone_from(&defaults.command);
        filled.is_images_command = !start.argv.is_empty();
    }
    filled
}

/// Some builders keep a working directory as it was written; like other tools, we read a relative one as relative to the
/// root.
fn absolute(directory: &[u8]) -> Vec<u8> {
    if directory.starts_with(b"/") { directory.to_vec() } else { [b"/", directory].concat() }
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
        let filled = filled_in(start.clone(), None);
        assert_eq!(
            filled,
            FilledIn { start, shell: Shell::Login, is_images_directory: false, is_images_command: false }
        );
    }

    #[test]
    fn what_the_caller_leaves_open_is_the_images() {
        let filled = filled_in(ExecStart::default(), Some(&defaults()));
        assert_eq!(
            (filled.start.user.as_str(), filled.start.working_directory.as_ref(), filled.shell),
            ("7:8", &b"/srv"[..], Shell::Plain)
        );
        assert!(filled.is_images_directory);
        assert!(filled.start.argv.is_empty(), "nobody asked for the image's command");
        let asked = ExecStart { image_command: true, ..ExecStart::default() };
        let filled = filled_in(asked.clone(), Some(&defaults()));
        assert_eq!((filled.start.argv, filled.is_images_command), (defaults().command, true));
        let bare = ProcessDefaults::default();
        let filled = filled_in(asked, Some(&bare));
        assert_eq!((filled.start.working_directory.as_ref(), filled.is_images_command), (&b"/"[..], false));
    }

    #[test]
    fn a_relative_directory_of_the_image_begins_at_the_root() {
        let defaults = ProcessDefaults { working_directory: "srv/app".into(), ..ProcessDefaults::default() };
        let filled = filled_in(ExecStart::default(), Some(&defaults));
        assert_eq!(filled.start.working_directory.as_ref(), b"/srv/app");
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
        let filled = filled_in(wish.clone(), Some(&defaults()));
        assert_eq!((filled.is_images_directory, filled.is_images_command), (false, false));
        let start = filled.start;
        assert_eq!(
            (&start.argv, &start.user, &start.working_directory),
            (&wish.argv, &wish.user, &wish.working_directory)
        );
        assert_eq!(start.environment.last(), Some(&variable("A", "caller")));
    }
}
