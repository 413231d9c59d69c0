//! The API's description, generated from the code; docs/ref/openapi.json is its committed copy.

use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::Operation;
use utoipa::openapi::{self, Content, Ref};
use utoipa::{Modify, OpenApi};

use super::{
    config, desk, entering, insights, live, me, metrics, oidc, order_desk, orders, payments, people, prices,
    proofs, robots, rollout, routes,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Linefree store API",
        description = "What the store's server knows, and what people in the store decide. Sign in at /api/session; whatever changes \
                       something carries the session's token as X-Linefree-Csrf. Times are microseconds since the Unix epoch, lengths \
                       metres, weights grams, money minor units."
    ),
    modifiers(&Refusals),
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
        payments::gateway_told,
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
        order_desk::hook_hand_over,
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
        entering::entry,
        me::signed,
        me::show,
        me::contest,
        me::forget,
        entering::check_entry,
        entering::refused,
        live::live,
        metrics::metrics,
        routes::healthz
    )
)]
struct Api;

/// What every resource may answer besides its own answers: said once, and stood beside each of them.
struct Refusals;

impl Modify for Refusals {
    fn modify(&self, api: &mut openapi::OpenApi) {
        for (path, item) in &mut api.paths.paths {
            if path == "/healthz" {
                continue;
            }
            for (changes, operation) in
                [(false, &mut item.get), (true, &mut item.post), (true, &mut item.delete)]
            {
                if let Some(operation) = operation {
                    refusals(operation, changes, path.contains('{'));
                }
            }
        }
    }
}

fn refusals(operation: &mut Operation, changes: bool, names_one: bool) {
    let mut may = |status: &str, description: &str, is_problem: bool| {
        let response = openapi::ResponseBuilder::new().description(description);
        let response = if is_problem {
            response.content("application/json", Content::new(Some(Ref::from_schema_name("Problem"))))
        } else {
            response
        };
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| response.build().into());
    };
    may("401", "Nobody has signed in, or a signature is wrong.", true);
    may("403", "This role may not ask that, or the session's token is missing.", true);
    may("429", "Too many requests: wait a moment.", true);
    if names_one {
        may("404", "There is none of that name.", true);
    }
    if changes {
        may("409", "Refused; the answer says why.", true);
        may("400", "The body is not what it should be.", false);
        may("413", "The body is too large.", false);
        may("415", "The body is of another type.", false);
        may("422", "A field is missing, unknown or of another type.", false);
    } else if operation.parameters.is_some() {
        may("400", "A parameter is no number.", false);
    }
}

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
