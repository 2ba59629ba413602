//! The engine against the model it carries.

use super::*;

fn engine(config: EngineConfig) -> Engine {
    let engine = Engine::new(config);
    engine.register("tiny", Model::tiny());
    engine
}

/// Asks with the likeliest tokens, so that the answer is the same each time.
fn ask(question: &str) -> Generate {
    let mut request = Generate::new(vec![Message::new(Role::User, question)]);
    request.sampling.temperature = Some(0.0);
    request
}

/// Everything an answer says, and how it ends.
async fn listen(mut answer: Generation) -> (String, Piece) {
    let mut said = String::new();
    while let Some(piece) = answer.next().await {
        match piece {
            Piece::Text(text) => said.push_str(&text),
            end => {
                assert_eq!(answer.next().await, None, "an answer ends once");
                return (said, end);
            }
        }
    }
    panic!("the answer did not end");
}

#[tokio::test]
async fn an_answer_streams_and_ends_by_itself() {
    let engine = engine(EngineConfig::default());
    let mut answer = engine.generate("tiny", ask("Hello")).await.unwrap();
    let mut pieces = 0;
    let end = loop {
        match answer.next().await.unwrap() {
            Piece::Text(text) => {
                assert!(!text.is_empty());
                pieces += 1;
            }
            end => break end,
        }
    };
    let Piece::Finish { reason: FinishReason::Stop, usage } = end else { panic!("{end:?}") };
    assert!(pieces > 1);
    assert!(usage.input_tokens > 0 && usage.output_tokens >= pieces);
}
