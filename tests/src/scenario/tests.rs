use std::collections::HashMap;

use super::*;

const TWO: &str = r#"
    why = "w"
    [[provider.a]]
    answer = { text = "x" }
    [[provider.b]]
    answer = { text = "x" }
    [expect]
"#;

#[test]
fn the_configuration_follows_from_the_providers() {
    let scenario =
        Scenario::parse("n", &format!("{TWO}\n[config.timeouts]\nfirst_byte = 0.2")).unwrap();
    let urls = HashMap::from([("a".into(), "http://x/v1".into()), ("b".into(), "y".into())]);
    let config: toml::Table = scenario.config_text(&urls).parse().unwrap();
    assert_eq!(config["providers"]["a"]["base_url"].as_str(), Some("http://x/v1"));
    assert_eq!(config["timeouts"]["first_byte"].as_float(), Some(0.2));
    assert_eq!(config["models"]["m"]["targets"][1].as_str(), Some("b/fake-1"));
}

#[test]
fn a_variant_adds_to_its_file_and_is_a_scenario_of_its_own() {
    let family = format!(
        "{TWO}\nstatus = 200\n[[variant]]\nname = 'x'\nexpect.text = 'y'\n\
         [[variant]]\nname = 'z'\nwhy = 'v'\nprovider.a = [{{ silent = true }}]"
    );
    let [x, z] = &Scenario::parse_all("n", &family).unwrap()[..] else { panic!() };
    assert_eq!((x.name.as_str(), x.why.as_str()), ("n_x", "w"));
    assert_eq!((x.expect.status, x.expect.text.as_deref()), (Some(200), Some("y")));
    assert_eq!((z.name.as_str(), z.why.as_str()), ("n_z", "v"));
    assert!(z.provider["a"][0].silent && z.provider["b"][0].answer.is_some());
}

#[test]
fn mistakes_are_named() {
    for (text, why) in [
        ("why = 'w'\nexpct = 1\n[expect]", "expct"),
        ("why = 'w'\n[expect]\nsaw.a = []", "no provider a"),
        ("why = 'w'\n[expect]\n[[then]]\nexpect.calls.b = 1", "no provider b"),
        ("why = 'w'\n[[provider.a]]\n[expect]", "provider.a, call 1: needs one of"),
        ("[expect]", "why"),
        ("why = 'w'\n[expect]\n[[variant]]", "needs a name"),
        ("why = 'w'\n[expect]\n[[variant]]\nname = 'x'\nexpct = 1", "variant x: unknown field"),
    ] {
        let message = Scenario::parse_all("n", text).unwrap_err();
        assert!(message.contains(why), "{text}: {message}");
    }
}

#[test]
fn the_end_follows_from_what_is_asked_and_expected() {
    let end = |more: &str| {
        let scenario = Scenario::parse("n", &format!("{TWO}{more}")).unwrap();
        scenario.exchanges().next().unwrap().end()
    };
    assert_eq!(end(""), End::Done);
    assert_eq!(end("status = 404"), End::Refused);
    assert_eq!(end("[client.with]\nstream = false"), End::Whole);
    assert_eq!(end("[client.leave]\nms = 5"), End::Left);
}
