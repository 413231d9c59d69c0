//! Codes presented by HTTP, for readers and turnstiles that speak it.
//!
//! `POST /v1/present`, body: the text of the code. 200 when somebody is let in, 403 with the reason when not, 503 when
//! the gate is busy. Listen on loopback or on a network of the gates' own: whoever reaches the address may present codes,
//! and only genuine ones open.

use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, TrySendError};

use anyhow::Context;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use linefree_hardware::gate::token::MAX_TEXT_BYTES;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::live_gate::Presented;

/// Serves until the process ends.
///
/// # Errors
/// When the address cannot be listened on.
pub(super) async fn listen(address: SocketAddr, gate: SyncSender<Presented>) -> anyhow::Result<()> {
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("listen on {address} for codes"))?;
    let app = Router::new()
        .route("/v1/present", post(present))
        .layer(DefaultBodyLimit::max(MAX_TEXT_BYTES + 16))
        .with_state(gate);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(())
}

async fn present(State(gate): State<SyncSender<Presented>>, code: String) -> Response {
    let (answer, answered) = oneshot::channel();
    if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
        gate.try_send(Presented { code, answer: Some(answer) })
    {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"admitted": false, "reason": "busy"})))
            .into_response();
    }
    match answered.await {
        Ok(Ok(party)) => Json(json!({"admitted": true, "party": party})).into_response(),
        Ok(Err(deny)) => {
            let body = json!({"admitted": false, "reason": deny.name(), "message": deny.to_string()});
            (StatusCode::FORBIDDEN, Json(body)).into_response()
        }
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
