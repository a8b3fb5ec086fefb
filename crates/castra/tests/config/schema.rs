//! The JSON Schema and the parser say the same, as far as a schema can.

use castra::config::{parse, schema, starter, to_snapshot};
use jsonschema::Validator;
use serde_json::Value;

use crate::env;

fn validator() -> Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema()).unwrap()
}

fn parses(text: &str) -> bool {
    parse(text, &env()).is_ok()
}

/// Whether the schema takes the text; TOML's values become JSON's.
fn validates(validator: &Validator, text: &str) -> bool {
    let value: Value = serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap();
    validator.is_valid(&value)
}

#[test]
fn the_schema_is_a_schema() {
    let draft = schema()["$schema"].clone();
    assert_eq!(draft, "https://json-schema.org/draft/2020-12/schema");
    assert!(jsonschema::draft202012::meta::is_valid(&schema()));
    assert!(!schema().to_string().contains("null"), "TOML cannot write null");
}

/// The body of a `[[vms]]` entry, after its name.
const GOOD: &[&str] = &[
    "",
    "count = 1",
    "count = 256",
    "cpus = 1",
    "cpus = 255",
    "memory = \"64 MiB\"",
    "memory = \"2G\"",
    "memory = \" 2gib \"",
    "memory = \"1073741824 B\"",
    "base_image = \"ubuntu-24.04\"",
    "base_image = \"./x/y z.qcow2\"",
    "overlay = \"a,b.qcow2\"",
    "accelerator = \"auto\"",
    "accelerator = \"hvf\"",
    "firmware = \"uefi\"",
    "persistent = true",
    "port_forwards = []",
    "port_forwards = [{ host = 1, guest = 65535 }]",
    "port_forwards = [{ host = 1, guest = 1, protocol = \"udp\", address = \"0.0.0.0\" }]",
    "cloud_init = {}",
    "cloud_init = { user_data = \"u.yaml\" }",
    "cloud_init = { user_data = { inline = \"\" }, network_config = { inline = \"a\\nb\" } }",
    "mounts = []",
    "mounts = [{ host = \"src\", guest = \"/srv/src\" }]",
    "mounts = [{ host = \"/opt\", guest = \"/opt\", read_only = false }]",
    "[[vms.mounts]]\nhost = \"~/x\"\nguest = \"/x\"",
    "bootstrap = { script = \"b.sh\" }",
    "bootstrap = { script = \"./b.sh\", mode = \"skip\", payload = \"p/\", timeout_secs = 86400 }",
    "bootstrap = { script = \"b.sh\", verify = \"true\", env = { A_1 = \"\", _b = \"é\\n\" } }",
    "bootstrap = { script = \"b.sh\", verify = [\"test\", \"-e\", \"/etc/web\"], env = {} }",
    "count = 2\nreplicas = { a-1 = { bootstrap = { script = \"b.sh\", mode = \"always\" } } }",
    "count = 2\nreplicas = {}",
    "count = 2\nreplicas = { a-1 = {} }",
    "count = 2\n[vms.replicas.a-0]\ncpus = 2",
];

/// What both refuse.
const BAD: &[&str] = &[
    "name2 = \"a\"",
    "count = 0",
    "count = 257",
    "count = \"2\"",
    "cpus = 0",
    "cpus = 256",
    "cpus = 1.5",
    "memory = 2048",
    "memory = \"lots\"",
    "memory = \"2048\"",
    "memory = \"1.5 GiB\"",
    "memory = \"2 gigs\"",
    "base_image = \"\"",
    "base_image = 7",
    "overlay = \"\"",
    "overlay = \"a\\nb\"",
    "overlay = \"a\\u0000b\"",
    "accelerator = \"KVM\"",
    "firmware = \"efi\"",
    "persistent = \"yes\"",
    "port_forwards = {}",
    "port_forwards = [\"8080:80\"]",
    "port_forwards = [{ host = 0, guest = 1 }]",
    "port_forwards = [{ host = 1, guest = 65536 }]",
    "port_forwards = [{ host = 1 }]",
    "port_forwards = [{ host = 1, guest = 1, proto = \"tcp\" }]",
    "port_forwards = [{ host = 1, guest = 1, protocol = \"TCP\" }]",
    "port_forwards = [{ host = 1, guest = 1, address = \"localhost\" }]",
    "port_forwards = [{ host = 1, guest = 1, address = \"::1\" }]",
    "cloud_init = \"u.yaml\"",
    "cloud_init = { user_data = \"\" }",
    "cloud_init = { user_data = \"#cloud-config\" }",
    "cloud_init = { user_data = \"a\\nb\" }",
    "cloud_init = { user_data = {} }",
    "cloud_init = { user_data = { inline = \"a\", path = \"b\" } }",
    "mounts = {}",
    "mounts = [{ host = \"src\" }]",
    "mounts = [{ guest = \"/srv\" }]",
    "mounts = [{ host = \"\", guest = \"/srv\" }]",
    "mounts = [{ host = \"src\", guest = \"srv\" }]",
    "mounts = [{ host = \"src\", guest = \"/\" }]",
    "mounts = [{ host = \"src\", guest = \"/srv\", read_only = 1 }]",
    "mounts = [{ host = \"src\", guest = \"/srv\", tag = \"x\" }]",
    "bootstrap = {}",
    "bootstrap = \"b.sh\"",
    "bootstrap = { script = \"\" }",
    "bootstrap = { script = \"b.sh\", mode = \"never\" }",
    "bootstrap = { script = \"b.sh\", timeout_secs = 0 }",
    "bootstrap = { script = \"b.sh\", timeout_secs = 86401 }",
    "bootstrap = { script = \"b.sh\", timeout = 10 }",
    "bootstrap = { script = \"b.sh\", payload = \"\" }",
    "bootstrap = { script = \"b.sh\", verify = \"\" }",
    "bootstrap = { script = \"b.sh\", verify = [] }",
    "bootstrap = { script = \"b.sh\", verify = [1] }",
    "bootstrap = { script = \"b.sh\", verify = true }",
    "bootstrap = { script = \"b.sh\", env = [] }",
    "bootstrap = { script = \"b.sh\", env = { A = 1 } }",
    "bootstrap = { script = \"b.sh\", env = { \"A B\" = \"\" } }",
    "bootstrap = { script = \"b.sh\", env = { 1A = \"\" } }",
    "bootstrap = { script = \"b.sh\", env = { CASTRA_VM = \"\" } }",
    "count = 2\nreplicas = { a-1 = { name = \"b\" } }",
    "count = 2\nreplicas = { a-1 = { cpus = 0 } }",
    "count = 2\nreplicas = []",
];

/// Whole files that both refuse.
const BAD_FILES: &[&str] = &[
    "",
    "vms = []",
    "vms = {}",
    "version = 2\n[[vms]]\nname = \"a\"",
    "version = \"1\"\n[[vms]]\nname = \"a\"",
    "verson = 1\n[[vms]]\nname = \"a\"",
    "[[vms]]\ncpus = 1",
    "[[vms]]\nname = \"\"",
    "[[vms]]\nname = \"../x\"",
    "[[vms]]\nname = \"-a\"",
    "[[vms]]\nname = \"a,b\"",
    "[[vms]]\nname = \"a\\n\"",
    "[project]\nname = \"\"\n[[vms]]\nname = \"a\"",
    "[project]\nname = \"  \"\n[[vms]]\nname = \"a\"",
    "[project]\nname = \"a/b\"\n[[vms]]\nname = \"a\"",
    "[project]\nname = \"a\\tb\"\n[[vms]]\nname = \"a\"",
    "[project]\nstate_dir = \"\"\n[[vms]]\nname = \"a\"",
    "[project]\nstate = \"x\"\n[[vms]]\nname = \"a\"",
    "[lifecycle]\nsigterm_wait_secs = 3601\n[[vms]]\nname = \"a\"",
    "[channel]\nfreshness_window_secs = 2\n[[vms]]\nname = \"a\"",
    "[channel]\nfreshness_window_secs = 301\n[[vms]]\nname = \"a\"",
    "[lifecycle]\nsigterm_wait_secs = -1\n[[vms]]\nname = \"a\"",
    "[lifecycle]\nsigterm_wait_secs = \"1\"\n[[vms]]\nname = \"a\"",
];

/// What only the parser refuses: rules between values, or about what a text means.
const BEYOND_A_SCHEMA: &[&str] = &[
    "[[vms]]\nname = \"a\"\n[[vms]]\nname = \"A\"",
    "[[vms]]\nname = \"broker\"",
    "[[vms]]\nname = \"a\"\nmemory = \"1 MiB\"",
    "[[vms]]\nname = \"a\"\nbase_image = \"Two Words\"",
    "[[vms]]\nname = \"a\"\noverlay = \".castra/../x\"",
    "[[vms]]\nname = \"a\"\nport_forwards = [{ host = 1, guest = 1 }, { host = 1, guest = 2 }]",
    "[[vms]]\nname = \"a\"\ncount = 1\nreplicas = { b-0 = {} }",
    "[project]\nstate_dir = \".\"\n[[vms]]\nname = \"a\"",
    "[[vms]]\nname = \"a\"\nmounts = [{ host = \"..\", guest = \"/srv\" }]",
    "[[vms]]\nname = \"a\"\nmounts = [{ host = \"a\", guest = \"/..\" }]",
    "[[vms]]\nname = \"a\"\nbootstrap = { script = \"x/\" }",
    "[[vms]]\nname = \"a\"\nbootstrap = { script = \"x\", verify = [\" \"] }",
];

#[test]
fn schema_and_parser_agree() {
    let validator = validator();
    let vm = |body: &&str| format!("[[vms]]\nname = \"a\"\n{body}\n");
    let good = GOOD.iter().map(vm).map(|text| (text, true));
    let bad = BAD.iter().map(vm).chain(BAD_FILES.iter().map(|text| (*text).to_owned()));
    for (text, expected) in good.chain(bad.map(|text| (text, false))) {
        assert_eq!(parses(&text), expected, "parser: {text}");
        assert_eq!(validates(&validator, &text), expected, "schema: {text}");
    }
    for text in BEYOND_A_SCHEMA {
        assert!(!parses(text) && validates(&validator, text), "{text}");
    }
}

#[test]
fn the_defaults_of_the_schema_are_those_of_the_parser() {
    let schema = schema();
    let bare = parse("[[vms]]\nname = \"a\"", &env()).unwrap();
    let default = |table: &Value| -> Vec<String> {
        let properties = table["properties"].as_object().unwrap().iter();
        let written = properties.filter_map(|(key, property)| Some((key, property.get("default")?)));
        written
            .filter(|(_, value)| !value.is_object())
            .map(|(key, value)| format!("{key} = {value}\n"))
            .collect()
    };
    let text = format!(
        "{}[lifecycle]\n{}[channel]\n{}[[vms]]\nname = \"a\"\n{}",
        default(&schema).concat(),
        default(&schema["$defs"]["Lifecycle"]).concat(),
        default(&schema["$defs"]["Channel"]).concat(),
        default(&schema["$defs"]["Vm"]).concat()
    );
    assert!(text.contains("cpus = 1\n") && text.contains("sigkill_wait_secs"), "{text}");
    assert_eq!(parse(&text, &env()), Ok(bare));
    let forward = "[[vms]]\nname = \"a\"\nport_forwards = [{ host = 1, guest = 2 }]\n";
    let spelt: Vec<String> = default(&schema["$defs"]["PortForward"]);
    let spelt = forward.replace(" }]", &format!(", {} }}]", spelt.join(",").replace('\n', "")));
    assert!(spelt.contains("address") && spelt.contains("protocol"), "{spelt}");
    assert_eq!(parse(&spelt, &env()), parse(forward, &env()));
    let bootstrap = "[[vms]]\nname = \"a\"\n[vms.bootstrap]\nscript = \"b.sh\"\n";
    let spelt = format!("{bootstrap}{}", default(&schema["$defs"]["Bootstrap"]).concat());
    assert!(spelt.contains("mode") && spelt.contains("timeout_secs = 600"), "{spelt}");
    assert_eq!(parse(&spelt, &env()), parse(bootstrap, &env()));
}

#[test]
fn every_config_we_show_parses_and_validates() {
    let validator = validator();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let pages = std::fs::read_dir(format!("{root}/docs")).unwrap().map(|entry| entry.unwrap().path());
    let readme = format!("{root}/README.md").into();
    let mut shown = 0;
    for page in pages.chain([readme]).filter(|page: &std::path::PathBuf| page.is_file()) {
        let text = std::fs::read_to_string(&page).unwrap();
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap_or_default();
            if !block.contains("[[vms]]") {
                continue;
            }
            shown += 1;
            parse(block, &env()).unwrap_or_else(|faults| panic!("{}: {faults:#?}", page.display()));
            assert!(validates(&validator, block), "{}: {block}", page.display());
        }
    }
    assert!(shown >= 2, "only {shown} configs were found");
    let starter = starter(&"web".parse().unwrap(), 2222);
    assert!(validates(&validator, &starter));
    let snapshot = to_snapshot(&parse(&starter, &env()).unwrap());
    assert!(validates(&validator, &snapshot), "{snapshot}");
}
