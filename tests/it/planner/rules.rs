//! The rules one by one, each with the smallest world that shows it.

use hayloft::domain::{File, FileId, ScopeId, StoreId};
use hayloft::planner::{CONFIRMED, Pin, Reason, download_order, removable, upload_order};

use super::model::Model;
use super::scenario::Scenario;

const A: ScopeId = ScopeId(1);
const B: ScopeId = ScopeId(2);
const S: StoreId = StoreId(1);
const T: StoreId = StoreId(2);

fn world(text: &str) -> (Model, File) {
    let model = Scenario::parse(text).model;
    let file = model.files[&FileId(1)].clone();
    (model, file)
}

fn pins(text: &str) -> Vec<Pin> {
    let stores_and_scopes = "store s\nstore t\nstore u\nscope a\nscope b\n";
    let (model, file) = world(&format!("{stores_and_scopes}{}", text.replace("; ", "\n")));
    removable(&model.world(), &file, S, CONFIRMED).err().unwrap_or_default()
}

#[test]
fn a_replica_may_go_when_every_scope_keeps_another_that_counts() {
    let both = "link a s; link a t; link b s; link b t; ";
    let only_a = "link a s; link a t; ";
    let cases: [(&str, &str, Vec<Pin>); 18] = [
        (both, "file f 1 in=a,b at=s,t", vec![]),
        (only_a, "file f 1 in=a at=s", vec![Pin::OnlyReplica { scope: A }, Pin::LastReplica]),
        // Marks, and what never counts.
        (
            only_a,
            "file f 1 in=a at=s,t:missing",
            vec![Pin::OnlyReplica { scope: A }, Pin::LastReplica],
        ),
        (
            only_a,
            "file f 1 in=a at=s,t:corrupt",
            vec![Pin::OnlyReplica { scope: A }, Pin::LastReplica],
        ),
        (
            only_a,
            "file f 1 in=a at=s,t:writing",
            vec![Pin::OnlyReplica { scope: A }, Pin::LastReplica],
        ),
        (
            only_a,
            "file f 1 in=a at=s,t:unverified",
            vec![Pin::OnlyReplica { scope: A }, Pin::LastReplica],
        ),
        (
            "link a s; link a t write_only; ",
            "file f 1 in=a at=s,t",
            vec![Pin::OnlyReplica { scope: A }, Pin::LastReplica],
        ),
        (
            "link a s; link a t drain; ",
            "file f 1 in=a at=s,t",
            vec![Pin::OnlyReplica { scope: A }, Pin::LastReplica],
        ),
        (
            "link a s; link a t; unavailable t; ",
            "file f 1 in=a at=s,t",
            vec![Pin::OnlyReplica { scope: A }, Pin::LastReplica],
        ),
        // Other scopes count, tombstones included; a replica elsewhere helps only who links it.
        (
            "link a s; link a t; link b s; ",
            "file f 1 in=a,b:tombstone at=s,t",
            vec![Pin::OnlyReplica { scope: B }],
        ),
        (
            "link a s; link a t; link b s populate; link b t; ",
            "file f 1 in=a,b at=s,t",
            vec![Pin::Populate { scope: B }],
        ),
        ("link a s; link a t; link b s populate; link b t; ", "file f 1 in=a at=s,t", vec![]),
        // Named drains.
        (
            "link a s; link a t; link a u drain=s; ",
            "file f 1 in=a at=s,t",
            vec![Pin::DrainTarget { scope: A, from: StoreId(3) }],
        ),
        (
            "link a s drain=u; link a t; link a u; ",
            "file f 1 in=a at=s,t",
            vec![Pin::NotInTarget { scope: A, target: Some(StoreId(3)) }],
        ),
        ("link a s drain=u; link a t; link a u; ", "file f 1 in=a at=s,u", vec![]),
        (
            "link a s drain=u; link a t; link a u; unavailable u; ",
            "file f 1 in=a at=s,t,u",
            vec![Pin::NotInTarget { scope: A, target: Some(StoreId(3)) }],
        ),
        // Residual: one scope that keeps the file is enough, and necessary.
        ("link a t; ", "file f 1 in=a,b at=s,t", vec![]),
        ("link a t; ", "file f 1 in=b at=s,t", vec![Pin::LastReplica]),
    ];
    for (links, file, expected) in cases {
        assert_eq!(pins(&format!("{links}{file}")), expected, "{links}{file}");
    }
}

#[test]
fn a_replica_that_was_not_confirmed_in_this_run_does_not_count() {
    let (model, file) =
        world("store s\nstore t\nscope a\nlink a s\nlink a t\nfile f 1 in=a at=s,t");
    assert!(removable(&model.world(), &file, S, &|store| store == T).is_ok());
    assert!(removable(&model.world(), &file, S, &|_| false).is_err());
}

#[test]
fn a_corrupt_replica_goes_beside_a_good_one_unless_populate_rewrites_it() {
    let gone = "link a s; link a t; file f 1 in=a at=s:corrupt,t";
    assert_eq!(pins(gone), vec![]);
    let rewritten = "link a s populate; link a t; file f 1 in=a at=s:corrupt,t";
    assert_eq!(pins(rewritten), vec![Pin::Populate { scope: A }]);
    let last = "link a s; link a t; file f 1 in=a at=s:corrupt,t:missing";
    assert_eq!(pins(last), vec![Pin::LastReplica]);
}

#[test]
fn uploads_and_downloads_have_their_orders() {
    let (model, file) = world(
        "store none2\nstore minus\nstore hundred\nstore closed\nstore archive\nstore none1
        scope a
        link a none2 down=7
        link a minus up=-5 down=-9
        link a hundred up=100
        link a closed up=500 down=7 read_only
        link a archive up=400 down=900 write_only
        link a none1
        file f 1 in=a at=none2,minus,hundred,closed,archive,none1:missing",
    );
    let topology = &model.topology;
    let uploads: Vec<_> =
        upload_order(topology, A).iter().map(|l| topology.store_name(l.store)).collect();
    assert_eq!(uploads, ["hundred", "minus", "none1", "none2"]);
    let downloads: Vec<_> = download_order(topology, A, &file)
        .into_iter()
        .map(|store| topology.store_name(store))
        .collect();
    assert_eq!(downloads, ["closed", "none2", "minus", "hundred"]);
}

#[test]
fn a_file_that_left_a_store_in_this_run_may_not_return() {
    let (mut model, mut file) =
        world("store s\nstore t\nscope a\nlink a s\nlink a t populate\nfile f 1 in=a at=s");
    file.depart(model.run, T);
    model.files.insert(file.id, file);
    assert!(model.dry_run().moves.is_empty());
    model.run += 1;
    assert_eq!(model.dry_run().moves.len(), 1, "the next run may");
}

#[test]
fn populate_brings_the_copy_that_a_drain_needs_and_the_rest_is_kept_for_others() {
    let (model, _) = world(
        "store s\nstore t\nstore u\nscope a\nscope b
        link a s drain\nlink a t up=1\nlink a u populate\nlink b s
        file f 1 in=a,b at=s",
    );
    let plan = model.dry_run();
    let moves: Vec<_> = plan.moves.iter().map(|m| (m.reason, m.to)).collect();
    assert_eq!(moves, [(Reason::Populate, Some(StoreId(3)))]);
    let kept = plan.report.retained_for.iter().map(|r| (r.store.as_str(), r.kept_for.as_str()));
    assert_eq!(kept.collect::<Vec<_>>(), [("s", "b")]);
}

#[test]
fn what_a_scopes_limit_has_moved_the_stores_limit_need_not() {
    let reasons = |limits: [&str; 2]| {
        let (model, _) = world(&format!(
            "store s {}\nstore t\nscope a\nlink a s up=1 {}\nlink a t\nfile f 20 in=a at=s",
            limits[0], limits[1]
        ));
        model.dry_run().moves.iter().map(|m| m.reason).collect::<Vec<_>>()
    };
    assert_eq!(reasons(["soft=20", "soft=20"]), []);
    assert_eq!(reasons(["soft=19", "soft=20"]), [Reason::StoreLimit]);
    assert_eq!(reasons(["soft=19", "soft=19"]), [Reason::ScopeLimit]);
}

#[test]
fn tombstones_of_a_deleted_scope_are_not_stranded() {
    let (mut model, _) =
        world("store s\nstore t\nscope a\nscope b\nlink b t\nfile f 1 in=a:tombstone at=s");
    model.topology.scopes.remove(&A);
    let plan = model.dry_run();
    assert!(plan.moves.is_empty() && plan.report.is_complete(), "{plan:#?}");
}

#[test]
fn every_reason_for_a_move_is_told_in_words() {
    let reasons = [
        (Reason::Populate, "the scope populates this store"),
        (Reason::Drain, "the scope drains this store"),
        (Reason::DrainNamed, "the scope drains this store into a named one"),
        (Reason::Corrupt, "the replica is corrupt and the file has a good one elsewhere"),
        (Reason::Residual, "no scope that has the file links this store any more"),
        (Reason::ScopeLimit, "the store holds more of the scope than its soft limit"),
        (Reason::StoreLimit, "the store holds more than its limit"),
    ];
    for (reason, words) in reasons {
        assert_eq!(reason.to_string(), words);
    }
}

#[test]
fn a_plan_is_json() {
    let (model, _) = world(
        "store s soft=0\nstore t\nscope a\nscope b\nlink a s drain\nlink a t\nlink b s
        file f 1 in=a,b at=s",
    );
    let json = serde_json::to_value(model.dry_run()).expect("json");
    assert_eq!(json["moves"][0]["action"], "copy");
    assert_eq!(json["report"]["retained_for"][0]["kept_for"], "b");
    assert_eq!(json["report"]["errors"][0]["files"], 1);
}
