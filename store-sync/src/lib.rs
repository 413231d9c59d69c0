//! The store's server: the ledger, its synchronisation with the cloud, the HTTP API and the console.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`ledger`] | every event that matters, durable, and what follows from it |
//! | [`intake`] | bus to ledger: group commits, acknowledgements |
//! | [`projecting`] | ledger to projections, while it runs |
//! | [`outbox`] | ledger to cloud |
//! | [`downlink`] | the cloud's commands to the ledger |
//! | [`robots`] | master control of the robots (VDA 5050) |
//! | [`provision`] | the store's certificate authority, on the command line |
//! | [`cloud`] | the contract with the cloud, and a reference of its side |
//! | [`desk`] | accounts, audit log, answers that can still be undone |
//! | [`trails`] | where people were in the last hour, in memory |
//! | [`live`] | the present, for viewers |
//! | [`signed`] | receipts that prove themselves |
//! | [`epcis`], [`gs1`] | the ledger in GS1's terms |
//! | [`oidc`] | signing in at a provider of the chain's |
//! | [`config`] | store.toml, edited in the console |
//! | [`telling`], [`out_of_stock`] | what each hour says of products, for the chain |
//! | [`http`] | the API and the console |
//! | [`data_dir`] | the folder, taken by one process |
//! | [`serve`] | all of the above, composed |

pub mod clock;
pub mod cloud;
pub mod config;
pub mod data_dir;
pub mod desk;
pub mod downlink;
pub mod epcis;
pub mod fetching;
pub mod gs1;
pub mod http;
pub mod intake;
pub mod ledger;
pub mod live;
pub mod oidc;
pub mod out_of_stock;
pub mod outbox;
pub mod payments;
pub mod projecting;
pub mod provision;
pub mod reorder;
pub mod robots;
pub mod rollout;
pub mod serve;
pub mod signed;
pub mod telling;
pub mod trails;
