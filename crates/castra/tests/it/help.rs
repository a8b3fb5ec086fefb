//! What help and mistakes on the command line look like.

use crate::env::{TestEnv, assert_answer};

#[test]
fn help_lists_every_command() {
    let env = TestEnv::new();
    assert_answer!(env, env.castra(["--help"]).succeeded(), @r"
    exit code 0
    --- stdout
    Runs a project's virtual machines, described in castra.toml, on plain QEMU

    Usage: castra [OPTIONS] <COMMAND>

    Commands:
      init         Write a castra.toml that works as it is
      up           Start the project's VMs and wait until they are up
      status       Show what every VM is doing
      down         Shut VMs down and discard their disks
      ports        Show port forwards, which of them are active, and who is in their way
      logs         Show what the guests, QEMU and Castra have said
      bootstrap    Set up VMs that run, by the script that castra.toml names
      ssh          Log in to a guest with OpenSSH, or run a command there
      ssh-config   Print the configuration with which plain ssh reaches the guests
      exec         Run a program in a guest
      shell        Open a login shell in a guest
      cp           Copy files and directories into a guest, and out of it
      bus          Messages between guests and the host
      console      Talk to a guest over its serial console
      clean        Remove what commands have left behind
      image        Base images: list, pull, import, build, remove, verify
      doctor       Look at everything Castra depends on, and say what is wrong
      schema       Print the JSON Schema of castra.toml, or of a command's --json output
      completions  Print a completion script for a shell
      man          Write the manual pages
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Options of every command:
          --json            Answer in JSON: one value per line on standard output, the last one with
                            `outcome` or `error`
          --config <PATH>   The project's castra.toml, instead of the one found from here upwards
          --skip-discovery  Do not look for a castra.toml here and in the directories above
          --color <WHEN>    When to colour what is printed [default: auto] [possible values: auto,
                            always, never]
      -v, --verbose         Show more: paths, process ids, digests
      -q, --quiet           Show no progress and no notes

    Examples:
      castra init            write a castra.toml that works as it is
      castra up              start the project's VMs and wait until they are up
      castra status          what every VM is doing
      castra logs --follow   what they say
      castra down            shut them down and discard their disks

    Files:
      castra.toml            the project: `castra schema config` describes it
      ~/.castra              state and images of all projects; CASTRA_HOME names another place

    Every command takes --json. `castra help <command>` tells more.
    ");
}

#[test]
fn help_of_a_command_ends_with_examples() {
    let env = TestEnv::new();
    assert_answer!(env, env.castra(["down", "-h"]).succeeded(), @r"
    exit code 0
    --- stdout
    Shut VMs down and discard their disks

    Usage: castra down [OPTIONS] [VM]...

    Arguments:
      [VM]...  Only these VMs; of several projects' VMs of one name, that of the project here

    Options:
          --workspace <ID>  Only the workspace of this id (`castra status` shows the ids)
          --now             Do not ask the guests: SIGTERM at once
      -h, --help            Print help (see more with '--help')

    Options of every command:
          --json            Answer in JSON: one value per line on standard output, the last one with
                            `outcome` or `error`
          --config <PATH>   The project's castra.toml, instead of the one found from here upwards
          --skip-discovery  Do not look for a castra.toml here and in the directories above
          --color <WHEN>    When to colour what is printed [default: auto] [possible values: auto,
                            always, never]
      -v, --verbose         Show more: paths, process ids, digests
      -q, --quiet           Show no progress and no notes

    Examples:
      castra down                        every VM of every known workspace
      castra down --config castra.toml   only those of the project here
      castra down web                    only that VM of the project here
      castra down --workspace shop-<hash>
      castra down --now                  do not wait for the guests

    A guest is asked to power off (ACPI) and given time; then QEMU gets SIGTERM, then SIGKILL. The waits
    are in castra.toml under [lifecycle].
    ");
}

#[test]
fn a_mistyped_command_is_a_mistake_of_usage_with_advice() {
    let env = TestEnv::new();
    assert_answer!(env, env.castra(["statsu"]), @r"
    exit code 2
    --- stderr
    error: unrecognized subcommand 'statsu'

      tip: a similar subcommand exists: 'status'

    Usage: castra [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
}

#[test]
fn programs_are_told_of_mistakes_in_json() {
    let env = TestEnv::new();
    let error = env.castra(["statsu", "--json"]).failed(2).error();
    assert_eq!(error["kind"], "usage");
    assert!(error["message"].as_str().unwrap().contains("statsu"), "{error}");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let env = TestEnv::new();
    for words in [
        &["status", "--workspace", "a-0123456789ab", "--config", "castra.toml"][..],
        &["status", "--workspace", "a-0123456789ab", "--skip-discovery"],
        &["status", "-v", "-q"],
        &["clean", "--global", "--workspace"],
        &["logs", "--raw", "--json"],
        &["up", "--timeout", "0"],
        &["up", "--wait", "forever"],
        &["image", "rm"],
    ] {
        env.castra(words).failed(2);
    }
}

#[test]
fn the_version_is_told() {
    let answer = TestEnv::new().castra(["--version"]).succeeded();
    assert_eq!(answer.stdout, format!("castra {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn without_a_home_directory_nothing_works_and_the_reason_is_told() {
    let env = TestEnv::new();
    let mut command = env.command(["status"]);
    command.env("CASTRA_HOME", "relative/place");
    let answer = crate::env::wait(command.spawn().unwrap(), std::time::Duration::from_secs(10));
    assert_answer!(env, answer, @r"
    exit code 4
    --- stderr
    error: `CASTRA_HOME` is `relative/place`, which is not an absolute path

    hint: set it to an absolute path: `export CASTRA_HOME=/var/lib/castra`
    ");
}
