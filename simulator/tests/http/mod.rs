//! Questions to a store's server.
#![allow(clippy::unwrap_used)] // Helpers of tests are not known as tests to clippy.

use serde_json::Value;

/// The status and the body of the answer; a body is posted, none is a question.
pub fn ask(url: &str, body: Option<&Value>) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = match body {
        None => agent.get(url).call().unwrap(),
        Some(body) => {
            agent.post(url).header("content-type", "application/json").send(body.to_string()).unwrap()
        }
    };
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
}
