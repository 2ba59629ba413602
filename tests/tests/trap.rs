//! A trap of the Worker's wasm: it costs the requests that its instance serves, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use streamgate_tests::answer::{Answer, Ending};
use streamgate_tests::client::{self, Goodbye};
use streamgate_tests::gateway::Gateway;
use streamgate_tests::provider::{AfterLast, FakeProvider};
use streamgate_tests::scenario::{Client, Scenario};

/// An error that passes through Rust leaves its memory as it stood, as a trap does. A request names
/// the call of the platform that throws the next one.
const OUTER: &str = r#"
import worker, { Quota } from "./index.js";
export { Quota };

let armed;
function arm(host, name) {
  const call = host[name].bind(host);
  host[name] = (...values) => {
    if (armed !== name) return call(...values);
    armed = undefined;
    throw new WebAssembly.RuntimeError("unreachable");
  };
}
arm(console, "log");
arm(crypto, "getRandomValues");

export default {
  fetch(request, env, ctx) {
    armed = request.headers.get("x-trap") ?? armed;
    return worker.fetch(request, env, ctx);
  },
};
"#;

const CONFIG: &str = r#"
[auth]
keys = [{ sha256 = "009794b63fa205b598997ded280ed34965aa53f2eb6af5143c71390f7233449f", user = "ada", plan = "pro" }]
[plans.pro]
requests_per_minute = 100
[models]
quick.targets = ["quick/fake-1"]
slow.targets = ["slow/fake-1"]
late.targets = ["late/fake-1"]
"#;
const ADA: &str = "sg_5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

const PROVIDERS: &str = r#"
why = "One answers at once, one slowly, and one not at all."
[[provider.quick]]
stream = ["Hi", { finish = "stop" }, { done = true }]
[[provider.slow]]
stream = [{ text = "tick ", times = 100, every = 50 }]
[[provider.late]]
silent = true
[expect]
"#;

/// How long the others may take to find out.
const NOTICED_WITHIN: Duration = Duration::from_secs(3);

/// A Worker in front of the three providers.
struct World {
    gateway: Gateway,
    _providers: Vec<FakeProvider>,
}

impl World {
    async fn new() -> Self {
        let scenario = Scenario::parse("trap", PROVIDERS).unwrap();
        let mut config = CONFIG.to_owned();
        let mut providers = Vec::new();
        for (name, scripts) in &scenario.provider {
            let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
            let provider =
                FakeProvider::start(any_port, scripts, AfterLast::StartOver, Instant::now()).await;
            let provider = provider.unwrap();
            config += &format!(
                "[providers.{name}]\nprotocol = \"openai\"\nbase_url = \"{}\"\n",
                provider.base_url()
            );
            providers.push(provider);
        }
        let gateway = Gateway::start_inside(OUTER, &config).await.unwrap();
        Self { gateway, _providers: providers }
    }

    async fn ask(&self, model: &str, trap: Option<&str>) -> Answer {
        let with = json!({ "model": model, "stream": true });
        let trap = trap.map(|call| ("x-trap".to_owned(), call.to_owned()));
        let key = ("x-api-key".to_owned(), ADA.to_owned());
        let client = Client {
            with: with.as_object().cloned().unwrap_or_default(),
            headers: trap.into_iter().chain([key]).collect(),
            ..Client::default()
        };
        client::ask(self.gateway.addr, &client, Goodbye::Reset, Instant::now()).await.unwrap()
    }

    async fn answers(&self) {
        let answer = self.ask("quick", None).await;
        assert_eq!((status(&answer), &answer.ending), (Some(200), &Ending::Complete), "{self}");
    }
}

impl std::fmt::Display for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.gateway.log())
    }
}

fn status(answer: &Answer) -> Option<u16> {
    answer.head.as_ref().map(|head| head.status)
}

/// One traps while another streams and a third waits for its provider.
async fn traps(call: &str) {
    let world = World::new().await;
    world.answers().await;
    let begun = Instant::now();
    let trapping = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let answer = world.ask("quick", Some(call)).await;
        // A new instance is there at once.
        world.answers().await;
        answer
    };
    let (slow, late, trapped) =
        tokio::join!(world.ask("slow", None), world.ask("late", None), trapping);
    assert!(begun.elapsed() < Duration::from_millis(500) + NOTICED_WITHIN, "{world}");
    for (name, answer) in [("the trapped", &trapped), ("the late", &late)] {
        let failed = status(answer) == Some(500) || matches!(answer.ending, Ending::Broken(_));
        assert!(failed, "{name}: {answer:?}\n{world}");
    }
    assert_eq!(status(&late), Some(500), "{world}");
    assert!(matches!(slow.ending, Ending::Broken(_)), "cut, not finished: {slow:?}\n{world}");
    world.answers().await;
}

#[tokio::test]
async fn a_trap_in_a_step_of_the_pump_costs_its_instance_only() {
    traps("log").await;
}

#[tokio::test]
async fn a_trap_in_a_task_costs_its_instance_only() {
    traps("getRandomValues").await;
}
