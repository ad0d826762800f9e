use super::*;
use crate::args;

/// Returns the command that is understood, or how it is refused.
fn understood(line: &str) -> String {
    let words: Vec<OsString> = format!("banger {line}").split(' ').map(OsString::from).collect();
    match args::command().try_get_matches_from(&words) {
        Ok(matches) => {
            let mut path = Vec::new();
            let mut matches = &matches;
            while let Some((name, next)) = matches.subcommand() {
                path.push(name.to_owned());
                matches = next;
            }
            path.join(" ")
        }
        Err(error) => {
            let Refusal { sentence, hint } = refusal(&error, &words);
            hint.map_or(sentence.clone(), |hint| format!("{sentence} | {hint}"))
        }
    }
}

fn table(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n    {}\n", understood(line))).collect()
}

#[test]
fn what_users_of_other_tools_type_is_understood() {
    for (line, command) in [
        ("run --rm -- uname -a", "run"),
        ("run -it --rm -- sh", "run"),
        ("run -it --rm alpine:3.20 sh -c true", "run"),
        ("run --pull always alpine:3.20", "run"),
        ("run -d --name web -e A=b --env-file f -w /srv -u 1000:1000 --entrypoint sh", "run"),
        ("run -m 512m --cpus 2 --hostname web -- true", "run"),
        ("vm run --memory 1G --vcpu 2 -ti", "vm run"),
        ("create --name dev", "create"),
        ("exec -it x bash", "exec"),
        ("exec x ls -la", "exec"),
        ("exec -n x -- true", "exec"),
        ("exec -d -w / -u root -e A=b x sleep 9", "exec"),
        ("shell x", "exec"),
        ("vm shell x", "vm exec"),
        ("ps", "list"),
        ("ps -a", "list"),
        ("ps -aq", "list"),
        ("ls", "list"),
        ("list --json", "list"),
        ("vm ls", "vm list"),
        ("vm ps", "vm list"),
        ("rm x y", "delete"),
        ("rm -f x", "delete"),
        ("vm rm x", "vm delete"),
        ("vm remove x", "vm delete"),
        ("delete x", "delete"),
        ("stop -t 5 x", "stop"),
        ("stop --time 5 x y", "stop"),
        ("start x", "start"),
        ("restart x", "restart"),
        ("kill -s TERM x", "kill"),
        ("logs -f x", "logs"),
        ("logs x --follow", "logs"),
        ("inspect x", "show"),
        ("vm inspect x", "vm show"),
        ("images", "images"),
        ("images -q", "images"),
        ("image ls -a", "image list"),
        ("image inspect x", "image show"),
        ("image rm x", "image delete"),
        ("kernel ls", "kernel list"),
        ("kernel inspect x", "kernel show"),
        ("kernel rm x", "kernel delete"),
        ("operation ls", "operation list"),
        ("pull alpine:3.20", "pull"),
        ("pull -q alpine", "pull"),
        ("cp a x:/b", "cp"),
        ("cp -r x:/a b", "cp"),
        ("top x", "stats"),
        ("stats --no-stream", "stats"),
        ("port x", "ports"),
        ("ports", "ports"),
        ("ssh x", "ssh"),
        ("prune -f", "prune"),
        ("vm prune --yes", "vm prune"),
        ("set x -m 2G --cpus 2", "set"),
        ("version", "version"),
        ("info", "info"),
        ("daemon info", "daemon status"),
        ("df --json", "df"),
        ("events", "events"),
        ("events -f --json", "events"),
    ] {
        assert_eq!(understood(line), command, "{line}");
    }
}

#[test]
fn what_banger_does_not_have_is_refused_with_what_to_use_instead() {
    insta::assert_snapshot!(table(&[
        "run -v /a:/b -- true",
        "run -p 80:80 -- nginx",
        "run --privileged -- sh",
        "run --network host -- sh",
        "exec --privileged x sh",
        "run --detach-keys ctrl-p,ctrl-q",
        "logs --tail 10 x",
        "logs -t x",
        "config",
        "ps --format json",
        "inspect -f {{.State}} x",
        "rm -v x",
        "stop -a",
        "start -a z",
        "rm -a",
        "stop -f x",
        "-v",
        "build .",
        "push app",
        "pause x",
        "rmi app",
        "login ghcr.io",
        "get vms",
        "describe x",
        "volume ls",
        "vm attach x",
        "image push x",
    ]), @r##"
    run -v /a:/b -- true
        unexpected argument `-v` | directories of the host are not shared with VMs; use `banger cp PATH VM:PATH` to copy them
    run -p 80:80 -- nginx
        unexpected argument `-p` | ports are not published yet; use `banger ssh VM -- -L 8080:localhost:80`
    run --privileged -- sh
        unexpected argument `--privileged` | a VM has a kernel of its own, and root in it may do everything; leave this option out
    run --network host -- sh
        unexpected argument `--network` | every VM has outbound network access, and nothing can be set about it
    exec --privileged x sh
        unexpected argument `--privileged` | a VM has a kernel of its own, and root in it may do everything; leave this option out
    run --detach-keys ctrl-p,ctrl-q
        unexpected argument `--detach-keys` | use `--escape-keys`; they end the command, too, where those of docker let it run on
    logs --tail 10 x
        unexpected argument `--tail` | the whole log is printed; use `banger logs VM | tail`
    logs -t x
        unexpected argument `-t` | the log has no timestamps but those of the guest's kernel; leave this option out
    config
        unknown command `config` | the configuration is `~/.config/banger/config.toml`, or `config/config.toml` below BANGER_HOME; the README lists its keys
    ps --format json
        unexpected argument `--format` | use `--json`, and `jq` to choose from it
    inspect -f {{.State}} x
        unexpected argument `-f` | use `--json`, and `jq` to choose from it
    rm -v x
        unexpected argument `-v` | a VM is always deleted with its disks and without confirmation; leave this option out
    stop -a
        unexpected argument `-a` | name the VMs, as in `banger ls -q | xargs banger stop`
    start -a z
        unexpected argument `-a` | name the VMs, as in `banger ls -q | xargs banger start`
    rm -a
        unexpected argument `-a` | name the VMs
    stop -f x
        unexpected argument `-f` | use `banger kill VM` to force a VM off
    -v
        unexpected argument `-v` | there is no such option; `banger --version` prints the version, and `bangerd.log` has the daemon's log
    build .
        unknown command `build` | banger does not build images; build with docker or podman, then `docker save app | banger image pull docker-archive:-`
    push app
        unknown command `push` | banger does not push images; use `banger image bundle` to write one to a file
    pause x
        unknown command `pause` | VMs cannot be paused; use `banger stop` and `banger start`
    rmi app
        unknown command `rmi` | use `banger image rm`
    login ghcr.io
        unknown command `login` | use `docker login` or `podman login`; banger reads ~/.docker/config.json
    get vms
        unknown command `get` | use `banger ls` for VMs, `banger images` for images, or `banger inspect VM`
    describe x
        unknown command `describe` | use `banger inspect VM`, or `banger info` for the daemon
    volume ls
        unknown command `volume` | directories of the host are not shared with VMs; use `banger cp` to copy files
    vm attach x
        unknown command `attach` | use `banger exec VM` for a shell, or `banger logs -f VM` for the console
    image push x
        unknown command `push` | banger does not push images; use `banger image bundle` to write one to a file
    "##);
}

#[test]
fn what_stands_in_another_place_elsewhere_is_told_where_it_belongs() {
    insta::assert_snapshot!(table(&[
        "create alpine",
        "--json ps",
        "-t run",
        "ssh root@demo uptime",
        "ssh root@demo",
        "ssh ada@demo -- ls -l",
    ]), @r"
    create alpine
        unexpected argument `alpine` | to choose the image: --image alpine
    --json ps
        unexpected argument `--json` | options stand behind the command, as in `banger list --json`
    -t run
        unexpected argument `-t` | options stand behind the command, as in `banger run -t`
    ssh root@demo uptime
        unexpected argument `uptime` | banger ssh demo -- uptime
    ssh root@demo
        VM name `root@demo`: use only a–z, 0–9 and `-` | banger ssh demo
    ssh ada@demo -- ls -l
        VM name `ada@demo`: use only a–z, 0–9 and `-` | `banger ssh` enters as root; for another user: banger exec -u ada demo -- ls -l
    ");
}

#[test]
fn a_mistyped_word_gets_a_harmless_suggestion_or_none() {
    insta::assert_snapshot!(table(&[
        "exce x true",
        "imges",
        "lst",
        "sotp x",
        "vm lsit",
        "inspct x",
        "delte x",
        "remov x",
        "rn",
        "rum",
        "kil x",
        "sto x",
        "prun",
        "psuh app",
        "stpo x",
        "nope",
        "vm run --nmae x",
        "vm prune --froce",
        "vm run --nope",
    ]), @r##"
    exce x true
        unknown command `exce` | did you mean `banger exec`?
    imges
        unknown command `imges` | did you mean `banger images`?
    lst
        unknown command `lst` | did you mean `banger list`?
    sotp x
        unknown command `sotp` | did you mean `banger stop`?
    vm lsit
        unknown command `lsit` | did you mean `banger vm list`?
    inspct x
        unknown command `inspct` | did you mean `banger inspect`?
    delte x
        unknown command `delte` | banger vm --help
    remov x
        unknown command `remov` | banger vm --help
    rn
        unknown command `rn` | banger vm --help
    rum
        unknown command `rum` | banger vm --help
    kil x
        unknown command `kil` | banger vm --help
    sto x
        unknown command `sto` | did you mean `banger stop`?
    prun
        unknown command `prun` | banger vm --help
    psuh app
        unknown command `psuh` | banger --help
    stpo x
        unknown command `stpo` | did you mean `banger stop`?
    nope
        unknown command `nope` | banger --help
    vm run --nmae x
        unexpected argument `--nmae` | did you mean `--name`?
    vm prune --froce
        unexpected argument `--froce` | banger vm prune --help
    vm run --nope
        unexpected argument `--nope` | banger vm run --help
    "##);
}

#[test]
fn bad_values_are_refused_with_the_sentence_of_their_type() {
    insta::assert_snapshot!(table(&[
        "vm run --vcpu 0",
        "vm run --vcpu two",
        "vm run --cpus 1.5",
        "vm run --memory -1",
        "vm run --memory 12",
        "vm run --memory 2T",
        "vm run --disk-size -8G",
        "vm create --name -a",
        "vm create --name Box",
        "vm create --image ../x",
        "vm exec a/b -- true",
        "vm stop dev ../dev",
        "kernel pull ..",
        "vm run --vmm xen",
        "run --image ./app.tar true",
        "image show app:v1",
        "image rm ghcr.io/a/app",
    ]), @r##"
    vm run --vcpu 0
        --vcpu must be between 1 and 32, not 0
    vm run --vcpu two
        --vcpu: `two` is not a valid number of processors; use a whole number, as in `2`
    vm run --cpus 1.5
        --cpus: `1.5` is not a valid number of processors; use a whole number, as in `2`
    vm run --memory -1
        --memory must be between 128M and 1T, not -1M; a number without a unit is in MiB
    vm run --memory 12
        --memory must be between 128M and 1T, not 12M; a number without a unit is in MiB
    vm run --memory 2T
        --memory must be between 128M and 1T, not 2T
    vm run --disk-size -8G
        --disk-size must be between 64M and 2T, not -8G
    vm create --name -a
        VM name `-a`: start and end with a letter or digit, not `-`
    vm create --name Box
        VM name `Box`: use only a–z, 0–9 and `-`
    vm create --image ../x
        image name `../x`: use only a–z, 0–9, `-`, `.` and `_`
    vm exec a/b -- true
        VM name `a/b`: use only a–z, 0–9 and `-`
    vm stop dev ../dev
        VM name `../dev`: use only a–z, 0–9 and `-`
    kernel pull ..
        kernel name `..`: start and end with a letter or digit, not `.`
    vm run --vmm xen
        --vmm: `xen` is not a valid value; use one of: auto, qemu, firecracker | banger vm run --help
    run --image ./app.tar true
        image name `./app.tar`: use only a–z, 0–9, `-`, `.` and `_` | for an archive, type its prefix: --image docker-archive:./app.tar
    image show app:v1
        image name `app:v1`: use only a–z, 0–9, `-`, `.` and `_` | `banger image list` shows the names of local images
    image rm ghcr.io/a/app
        image name `ghcr.io/a/app`: use only a–z, 0–9, `-`, `.` and `_` | `banger image list` shows the names of local images
    "##);
}

#[test]
fn what_is_missing_or_does_not_go_together_is_told_in_one_sentence() {
    insta::assert_snapshot!(table(&[
        "vm stop",
        "vm cp a",
        "vm set dev",
        "vm exec dev -t -T -- true",
        "vm exec -n -i dev true",
        "vm run --name a --hostname b",
        "vm run --name",
        "vm run --json -- true",
        "vm logs a b",
        "ssh demo id",
        "vm ssh demo -L 80:localhost:80",
        "ssh -p 22 demo",
        "port demo 22/tcp",
        "completion tcsh",
        "image register --name a --rootfs x",
        "image pull",
    ]), @r##"
    vm stop
        missing `VM` | banger vm stop --help
    vm cp a
        missing `DESTINATION` | banger vm cp --help
    vm set dev
        missing one of `--vcpu`, `--memory`, `--disk-size`, `--overlay-size`, `--work-size`, `--ttl` | banger vm set --help
    vm exec dev -t -T -- true
        `--tty` and `--no-tty` cannot be used together | banger vm exec --help
    vm exec -n -i dev true
        `--no-stdin` and `--interactive` cannot be used together | banger vm exec --help
    vm run --name a --hostname b
        `--name` and `--hostname` are the same option; use one of them | banger vm run --help
    vm run --name
        `--name` needs a value | banger vm run --help
    vm run --json -- true
        `--json` needs `--detach` | banger vm run --help
    vm logs a b
        unexpected argument `b` | banger vm logs --help
    ssh demo id
        unexpected argument `id` | banger ssh demo -- id
    vm ssh demo -L 80:localhost:80
        unexpected argument `-L` | banger vm ssh demo -- -L 80:localhost:80
    ssh -p 22 demo
        unexpected argument `-p` | options of ssh and a command follow `--`, as in `banger ssh VM -- COMMAND`
    port demo 22/tcp
        VM name `22/tcp`: use only a–z, 0–9 and `-` | `banger port` takes VMs and lists all their ports, as in `banger port dev`
    completion tcsh
        SHELL: `tcsh` is not a valid value; use one of: bash, zsh, fish | banger completion --help
    image register --name a --rootfs x
        missing `--kernel-ref <NAME>` | banger image register --help
    image pull
        missing `SOURCE` | banger image pull --help
    "##);
}

#[test]
fn an_option_that_needs_another_one_is_told_with_it() {
    for (line, needed) in [
        ("exec --json demo sleep 1", "`--json` needs `--detach`"),
        ("run --json alpine", "`--json` needs `--detach`"),
        ("kernel import --from x --release y", "`--release` needs `--distro`"),
    ] {
        let told = understood(line);
        assert!(told.starts_with(needed), "{line}: {told}");
    }
    // Whatever needs another option is in the table.
    let command = args::command();
    for (option, needed) in NEEDS {
        assert!(has_option(&command, option) && has_option(&command, needed), "{option} {needed}");
    }
}

fn has_option(command: &Command, option: &str) -> bool {
    let is_it = |argument: &clap::Arg| argument.get_long() == option.strip_prefix("--");
    command.get_arguments().any(is_it) || command.get_subcommands().any(|sub| has_option(sub, option))
}

/// Calls it with every command below this one that has no commands, and how it is typed.
fn each_leaf(command: &Command, path: &str, visit: &mut impl FnMut(&str, &Command)) {
    // Short forms are the commands of `vm` once more.
    let is_wanted = |sub: &&Command| sub.get_name() != "help" && !sub.is_hide_set();
    let subs: Vec<_> = command.get_subcommands().filter(is_wanted).collect();
    if subs.is_empty() {
        visit(path.trim(), command);
    }
    for sub in subs {
        each_leaf(sub, &format!("{path} {}", sub.get_name()), visit);
    }
}

#[test]
fn a_bad_value_of_any_option_is_told_with_the_option_as_typed_and_in_our_words() {
    const FOREIGN: [&str; 8] = [
        "invalid digit",
        "too large to fit",
        "too small to fit",
        "cannot parse",
        "empty string",
        "provided string",
        "invalid float",
        "invalid value",
    ];
    let mut command = args::command();
    command.build();
    let mut refused = 0;
    each_leaf(&command, "", &mut |path, leaf| {
        for argument in leaf.get_arguments().filter(|argument| argument.get_action().takes_values()) {
            let aliases = argument.get_all_aliases().unwrap_or_default();
            let longs: Vec<_> = argument.get_long().into_iter().chain(aliases).collect();
            for value in ["x y", "", "-1", "99999999999999999999999"] {
                for long in &longs {
                    let words = [format!("--{long}={value}")];
                    let words =
                        ["banger"].into_iter().chain(path.split(' ')).chain(words.iter().map(String::as_str));
                    let words: Vec<OsString> = words.map(OsString::from).collect();
                    let Err(error) = args::command().try_get_matches_from(&words) else { continue };
                    let told = refusal(&error, &words).sentence;
                    assert!(!FOREIGN.iter().any(|text| told.contains(text)), "{words:?}: {told}");
                    if error.kind() == ErrorKind::ValueValidation {
                        refused += 1;
                        let is_named = told.starts_with(&format!("--{long}")) || told.contains(" name ");
                        assert!(is_named, "{words:?}: {told}");
                    }
                }
            }
        }
    });
    assert!(refused > 100, "{refused}");
}
