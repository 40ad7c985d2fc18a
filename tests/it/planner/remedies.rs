//! What mends a cause, as a value.

use hayloft::domain::{
    LinkSetting, Remedy, ScopeId, ScopeName, StoreId, StoreName, StoreSetting, Target,
};
use hayloft::planner::{Cause, Limit, Obstacle, Over};

use super::scenario::Scenario;

const BIG: StoreId = StoreId(2);

#[test]
fn each_cause_is_mended_where_it_lies() {
    let topology = Scenario::parse("store cold\nstore big\nscope media").model.topology;
    let media = ScopeName::new("media").expect("a name");
    let store = |name| StoreName::new(name).expect("a name");
    let check = |name| Some(Remedy::CheckStore { store: store(name) });
    let of_store = |name, setting| Some(Remedy::set_store(store(name), setting, Target::Chosen));
    let of_link = |name| {
        let soft = LinkSetting::SoftMaxSize;
        Some(Remedy::set_link(media.clone(), store(name), soft, Target::Chosen))
    };
    let add = Some(Remedy::LinkStore { scope: Some(media.clone()), store: None });
    let no_room = |limit| Obstacle::NoRoom { limit };
    let of_media = Limit::Scope { scope: ScopeId(1) };
    let over = |no_target| Cause::StillOver(Over { no_target, pinned: 2, ..Over::default() });
    let named = |obstacle| Cause::NamedTarget { target: Some(BIG), obstacle };
    for (cause, remedy) in [
        (Cause::Unavailable, check("cold")),
        (Cause::NoRoom { limit: Limit::Max }, of_store("cold", StoreSetting::MaxSize)),
        (Cause::NoRoom { limit: Limit::Soft }, of_store("cold", StoreSetting::SoftMaxSize)),
        (Cause::NoRoom { limit: of_media }, of_link("cold")),
        (Cause::NoTarget { store: BIG, obstacle: Obstacle::Unavailable }, check("big")),
        (Cause::NoTarget { store: BIG, obstacle: no_room(Limit::Max) }, add.clone()),
        (named(Obstacle::Unavailable), check("big")),
        (named(no_room(Limit::Max)), of_store("big", StoreSetting::MaxSize)),
        (named(no_room(of_media)), of_link("big")),
        (named(Obstacle::NotLinked), None),
        (over(2), add),
        (over(0), of_link("cold")),
        (Cause::Stranded, None),
    ] {
        assert_eq!(
            cause.remedy(Some(&media), Some(&store("cold")), &topology),
            remedy,
            "{cause:?}"
        );
    }
    let of_its_own = over(0).remedy(None, Some(&store("cold")), &topology);
    assert_eq!(of_its_own, of_store("cold", StoreSetting::SoftMaxSize));
}
