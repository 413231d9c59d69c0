//! The API's description, generated from the code; docs/ref/openapi.json is its committed copy.

use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;

use super::{
    config, desk, insights, live, me, metrics, oidc, order_desk, orders, payments, people, prices, proofs,
    robots, rollout, routes,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Linefree store API",
        description = "What the store's server knows, and what people in the store decide. Sign in at /api/session; whatever changes \
                       something carries the session's token as X-Linefree-Csrf. Times are microseconds since the Unix epoch, lengths \
                       metres, weights grams, money minor units."
    ),
    paths(
        routes::store,
        routes::visits,
        routes::carts,
        routes::receipts,
        routes::receipt,
        proofs::signed_receipt,
        proofs::keys,
        proofs::epcis_events,
        routes::devices,
        routes::stats,
        routes::events,
        orders::stock,
        orders::orders,
        orders::tasks,
        orders::reorder,
        robots::robots,
        robots::moved_home,
        prices::price_rules,
        payments::payments,
        payments::my_payments,
        payments::try_again,
        payments::upi_told,
        order_desk::place,
        order_desk::answer,
        order_desk::cancel,
        order_desk::collect,
        order_desk::hand_over,
        order_desk::add_task,
        order_desk::tell_task,
        order_desk::hook_place,
        order_desk::hook_state,
        order_desk::hook_answer,
        order_desk::hook_cancel,
        desk::reviews,
        desk::answer_review,
        desk::undo_answer,
        desk::money,
        desk::refund,
        desk::contests,
        desk::settle,
        desk::count,
        desk::misplaced,
        desk::timeline,
        desk::moment,
        insights::insights,
        oidc::ways,
        oidc::begin,
        oidc::back,
        rollout::rollout,
        rollout::take_back,
        config::read,
        config::save,
        config::calibration,
        config::planogram,
        config::save_planogram,
        people::session,
        people::sign_in,
        people::sign_out,
        people::password,
        people::accounts,
        people::add_account,
        people::disable_account,
        people::audit,
        people::check_config,
        me::join,
        me::me,
        me::entry,
        me::signed,
        me::contest,
        me::forget,
        me::check_entry,
        live::live,
        metrics::metrics,
        routes::healthz
    )
)]
struct Api;

/// The description as pretty JSON with a final newline: the bytes of docs/ref/openapi.json.
///
/// # Errors
/// When it cannot be written as JSON, which would be a bug.
pub fn openapi_json() -> Result<String, serde_json::Error> {
    Api::openapi().to_pretty_json().map(|text| text + "\n")
}

pub(super) async fn openapi() -> Response {
    axum::Json(Api::openapi()).into_response()
}
