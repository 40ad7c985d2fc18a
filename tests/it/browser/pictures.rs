//! `make screenshots`: every page, light and dark, on a desk and on a phone, with realistic data.

use super::super::support::instance::Instance;
use super::{drive, realistic};

/// Slow enough for a run to be seen at work.
const SETTINGS: &str = "[maintenance]\nschedule = \"02:00\"\nbandwidth = \"25MB\"\n";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes pictures to look at: `make screenshots`"]
async fn every_page_light_and_dark_on_a_desk_and_on_a_phone() {
    let mut instance = Instance::new(SETTINGS);
    realistic::furnish(&instance).await;
    instance.start_and_sign_in().await;
    std::fs::remove_dir_all(instance.path("mnt/nas")).expect("the disk goes away");
    let pictures = concat!(env!("CARGO_MANIFEST_DIR"), "/target/screenshots").to_owned();
    drive(&instance, "screenshots.js", &[("HAYLOFT_PICTURES", pictures)]).await;
}
