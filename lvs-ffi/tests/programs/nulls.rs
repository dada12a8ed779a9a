//! Every function with every pointer NULL in turn, made from the header: `tests/nulls.txt` has what each answers,
//! `LVS_BLESS=1` writes it anew.

use std::fmt::Write;
use std::fs;

use crate::build::{build_and_run, scratch, sources};

/// A parameter as the header declares it.
struct Parameter {
    kind: String,
    name: String,
}

impl Parameter {
    fn read(text: &str) -> Self {
        let text = text.trim().replace("struct ", "");
        let at = text.rfind([' ', '*']).expect("a type and a name") + 1;
        Self { kind: String::from(text[..at].trim()), name: String::from(&text[at..]) }
    }

    fn is_pointer(&self) -> bool {
        self.kind.ends_with('*') || self.kind.ends_with("_visitor")
    }

    /// Something that is there, for the call to be refused for nothing but the NULL: named after the function's place.
    fn declare(&self, out: &mut String) {
        let (kind, name) = (self.kind.trim_start_matches("const "), &self.name);
        let line = match kind {
            "lvs_director *" => format!("lvs_director *{name} = new_director();"),
            "lvs_shared *" => format!("lvs_shared *{name} = new_shared();"),
            "lvs_shared **" => format!("lvs_shared *{name}_[1] = {{ NULL }}, **{name} = {name}_;"),
            "lvs_director **" => format!("lvs_director *{name}_[1] = {{ NULL }}, **{name} = {name}_;"),
            "char *" => format!("char {name}_[4096] = \"\", *{name} = {name}_;"),
            "void *" => format!("void *{name} = NULL;"),
            "uint8_t *" => format!("uint8_t {name}_[4096] = {{ 0 }}, *{name} = {name}_;"),
            _ if kind.ends_with("_visitor") => format!("{kind} {name} = {};", kind.replace("_visitor", "_seen")),
            _ => match kind.strip_suffix(" *") {
                None => match kind {
                    "size_t" if name.contains("length") || name == "capacity" => format!("size_t {name} = 8;"),
                    _ if kind.ends_with("_id") => format!("{kind} {name} = {{ 0, 0 }};"),
                    _ => format!("{kind} {name} = 1;"),
                },
                Some(of) => {
                    let record = format!("{of} {name}_[8], *{name} = {name}_; memset({name}_, 0, sizeof {name}_);");
                    let is_sized = of.starts_with("lvs_") && !UNSIZED.contains(&of);
                    if is_sized { format!("{record} {name}->size = sizeof *{name};") } else { record }
                }
            },
        };
        writeln!(out, "    {line} (void){name};").expect("memory");
    }
}

/// Records without a size.
const UNSIZED: [&str; 13] = [
    "lvs_address",
    "lvs_path",
    "lvs_packet",
    "lvs_result",
    "lvs_counters",
    "lvs_service_id",
    "lvs_server_id",
    "lvs_event",
    "lvs_sync_message",
    "lvs_sync_received",
    "lvs_new_flow",
    "lvs_candidate",
    "lvs_wanted",
];

const HEAD: &str = r#"#include <lvs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lvs_director *new_director(void)
{
    static const char rules[] = "-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.101:8080 -m\n";
    lvs_director *director = NULL;
    if (lvs_director_new(NULL, &director) != LVS_OK)
        exit(2);
    if (lvs_director_load(director, rules, strlen(rules), NULL, NULL) != LVS_OK)
        exit(3);
    return director;
}

static bool lvs_service_seen(const lvs_service *a, const lvs_service_info *b, void *user) { return a && b && user; }
static bool lvs_server_seen(const lvs_server *a, const lvs_server_info *b, void *user) { return a && b && user; }
static bool lvs_connection_seen(const lvs_connection *a, void *user) { return a && user; }

static bool lvs_change_seen(const lvs_change *a, void *user) { return a && user; }

static void lvs_shared_seen(lvs_director *director, void *user) { (void)director, (void)user; }

static lvs_shared *new_shared(void)
{
    lvs_shared *shared = NULL;
    if (lvs_shared_new(NULL, 2, &shared) != LVS_OK)
        exit(4);
    return shared;
}

int main(void)
{
"#;

fn program() -> String {
    let header = fs::read_to_string(sources().join("../include/lvs.h")).expect("it is committed");
    let mut out = String::from(HEAD);
    for part in header.split("\nlvs_status lvs_").skip(1) {
        let (name, rest) = part.split_once('(').expect("a function");
        let (parameters, _) = rest.split_once(");").expect("that ends");
        let parameters: Vec<Parameter> = parameters.split(',').map(Parameter::read).collect();
        for null in parameters.iter().filter(|parameter| parameter.is_pointer() && parameter.name != "user") {
            out.push_str("    {\n");
            parameters.iter().for_each(|parameter| parameter.declare(&mut out));
            let handle = parameters.iter().find_map(|parameter| {
                let handle = parameter.kind.trim_start_matches("const ").strip_suffix(" *")?;
                ["lvs_director", "lvs_shared"].contains(&handle).then_some((handle, parameter.name.as_str()))
            });
            let made = match name {
                "director_new" => Some(("lvs_director", "out_[0]")),
                "shared_new" => Some(("lvs_shared", "out_[0]")),
                _ => handle,
            };
            let arguments: Vec<&str> =
                parameters.iter().map(|p| if p.name == null.name { "NULL" } else { p.name.as_str() }).collect();
            let call = format!("lvs_{name}({})", arguments.join(", "));
            let label = format!("lvs_{name} {}", null.name);
            writeln!(out, "    printf(\"{label}: %s\\n\", lvs_status_name({call}));").expect("memory");
            if let Some((handle, name)) = made {
                writeln!(out, "    {handle}_free({name});").expect("memory");
            }
            out.push_str("    }\n");
        }
    }
    out.push_str("    return 0;\n}\n");
    out
}

#[test]
fn null_is_answered_everywhere() {
    let source = scratch("nulls").join("nulls.c");
    fs::write(&source, program()).expect("the folder is there");
    let Some(said) = build_and_run(&source, "nulls") else { return };
    let path = sources().join("tests/nulls.txt");
    if std::env::var_os("LVS_BLESS").is_some() {
        fs::write(&path, &said).expect("it can be written");
    }
    assert_eq!(said, fs::read_to_string(path).expect("it is there"), "LVS_BLESS=1 accepts it");
    assert!(said.lines().count() > 100 && !said.contains("internal"), "{said}");
}
