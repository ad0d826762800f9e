//! All routes, once: the daemon serves them and clients ask them by these constants, so that neither can misspell one.
//! Long work is an operation: the route that begins it answers at once with an [`OperationView`](crate::OperationView), and
//! [`SHOW_OPERATION`] waits for the next change. An error is an [`ErrorBody`](crate::ErrorBody) under the HTTP status of its code.

use std::fmt;
use std::marker::PhantomData;

use crate::query::Query;

/// Method of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteMethod {
    /// Reads; changes nothing.
    Get,
    /// Begins or does something.
    Post,
}

/// A path without a part that varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed;

/// A path with one part that varies: what the route is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named;

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<P = Fixed> {
    /// Method.
    pub method: RouteMethod,
    /// Path, as the OpenAPI document has it.
    pub template: &'static str,
    part: PhantomData<P>,
}

impl<P> Route<P> {
    const fn new(method: RouteMethod, template: &'static str) -> Self {
        Self { method, template, part: PhantomData }
    }
}

impl Route {
    /// Returns the path with a query.
    #[must_use]
    pub fn asking(self, query: &impl Query) -> RequestPath {
        RequestPath(self.template.to_owned()).asking(query)
    }
}

impl AsRef<str> for Route {
    fn as_ref(&self) -> &str {
        self.template
    }
}

impl Route<Named> {
    /// Returns the path that is about `name`.
    #[must_use]
    pub fn of(self, name: impl fmt::Display) -> RequestPath {
        let (before, rest) = self.template.split_once('{').unwrap_or((self.template, ""));
        let after = rest.split_once('}').map_or("", |(_part, after)| after);
        RequestPath(format!("{before}{}{after}", escaped(&name.to_string())))
    }
}

/// The path of a request, with its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath(String);

impl RequestPath {
    /// Adds the query.
    #[must_use]
    pub fn asking(self, query: &impl Query) -> Self {
        let query = query.to_text();
        if query.is_empty() { self } else { Self(format!("{}?{query}", self.0)) }
    }
}

impl AsRef<str> for RequestPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// Writes what is not plain in a path as RFC 3986, section 2.1, has it.
fn escaped(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    let character = |byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(character).collect()
}

macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident: $method:ident $template:literal $($part:ident)?;)*) => {
        $($(#[$doc])* pub const $name: Route<$($part)?> = Route::<$($part)?>::new(RouteMethod::$method, $template);)*

        /// Method and path of every route.
        pub const ALL: &[(RouteMethod, &str)] = &[$((RouteMethod::$method, $template)),*];
    };
}

routes! {
    /// → [`ServiceInfo`](crate::ServiceInfo).
    SHOW_SERVICE: Get "/";
    /// → [`DaemonInfo`](crate::DaemonInfo).
    SHOW_INFO: Get "/v1/info";
    /// → [`VmDefaults`](crate::VmDefaults).
    SHOW_DEFAULTS: Get "/v1/defaults";
    /// → [`DoctorReport`](crate::DoctorReport).
    SHOW_DOCTOR: Get "/v1/doctor";
    /// → this contract as an OpenAPI document.
    SHOW_DOCUMENT: Get "/v1/openapi.json";
    /// [`ShutdownQuery`](crate::ShutdownQuery): ends the daemon; without `force` refused while work is in progress.
    SHUT_DOWN: Post "/v1/shutdown";

    /// [`ListQuery`](crate::ListQuery) → list of [`VmView`](crate::VmView).
    LIST_VMS: Get "/v1/vms";
    /// [`CreateVm`](crate::CreateVm) → operation, its result a [`VmView`](crate::VmView).
    CREATE_VM: Post "/v1/vms";
    /// → [`VmView`](crate::VmView). A VM is named by its name, its id or a unique beginning of its id.
    SHOW_VM: Get "/v1/vms/{vm}" Named;
    /// [`StartVm`](crate::StartVm) → operation, its result a [`VmView`](crate::VmView).
    START_VM: Post "/v1/vms/{vm}/start" Named;
    /// [`StopVm`](crate::StopVm) → operation, its result a [`VmView`](crate::VmView).
    STOP_VM: Post "/v1/vms/{vm}/stop" Named;
    /// [`StopVm`](crate::StopVm) → operation, its result a [`VmView`](crate::VmView).
    RESTART_VM: Post "/v1/vms/{vm}/restart" Named;
    /// [`KillVm`](crate::KillVm) → operation.
    KILL_VM: Post "/v1/vms/{vm}/kill" Named;
    /// [`DeleteVm`](crate::DeleteVm) → operation.
    DELETE_VM: Post "/v1/vms/{vm}/delete" Named;
    /// [`SetVm`](crate::SetVm) → operation, its result a [`VmView`](crate::VmView).
    SET_VM: Post "/v1/vms/{vm}/set" Named;
    /// → operation, its result a [`VmView`](crate::VmView).
    TOUCH_VM: Post "/v1/vms/{vm}/touch" Named;
    /// [`LogsQuery`](crate::LogsQuery) → the guest's console, or what its VMM said, as bytes.
    SHOW_VM_LOGS: Get "/v1/vms/{vm}/logs" Named;
    /// → list of [`ListenerView`](crate::ListenerView): what listens inside the guest.
    LIST_VM_PORTS: Get "/v1/vms/{vm}/ports" Named;
    /// [`StatsQuery`](crate::StatsQuery) → [`VmStats`](crate::VmStats); a guest that is silent for 4 s has no figures.
    SHOW_VM_STATS: Get "/v1/vms/{vm}/stats" Named;
    /// → [`SshAccess`](crate::SshAccess).
    SHOW_VM_SSH: Get "/v1/vms/{vm}/ssh" Named;
    /// [`EndingQuery`](crate::EndingQuery) → [`EndingView`](crate::EndingView) of that guest, or `null`; waits a second for
    /// an end that is about to be seen. The VM is named by its id, because it may be gone.
    SHOW_VM_ENDING: Get "/v1/vms/{vm}/ending" Named;
    /// [`ChannelQuery`](crate::ChannelQuery), with `Upgrade: banger-channel` → bytes to and from the guest's agent.
    OPEN_VM_CHANNEL: Get "/v1/vms/{vm}/channel" Named;

    /// → list of [`KernelView`](crate::KernelView): what is here and what the catalog has.
    LIST_KERNELS: Get "/v1/kernels";
    /// → [`KernelDetails`](crate::KernelDetails).
    SHOW_KERNEL: Get "/v1/kernels/{name}" Named;
    /// → list of [`CatalogKernel`](crate::CatalogKernel).
    LIST_CATALOG_KERNELS: Get "/v1/catalog/kernels";
    /// [`ImportKernel`](crate::ImportKernel) → operation, its result a [`KernelView`](crate::KernelView).
    IMPORT_KERNEL: Post "/v1/kernels";
    /// [`PullRequest`](crate::PullRequest) → operation.
    PULL_KERNEL: Post "/v1/kernels:pull";
    /// → operation.
    DELETE_KERNEL: Post "/v1/kernels/{name}/delete" Named;

    /// → list of [`ImageView`](crate::ImageView): what is here and what the catalog has.
    LIST_IMAGES: Get "/v1/images";
    /// → [`ImageDetails`](crate::ImageDetails).
    SHOW_IMAGE: Get "/v1/images/{name}" Named;
    /// [`RegisterImage`](crate::RegisterImage) → operation, its result an [`ImageView`](crate::ImageView).
    REGISTER_IMAGE: Post "/v1/images";
    /// [`PullImage`](crate::PullImage) → operation, whose target is the image's name.
    PULL_IMAGE: Post "/v1/images:pull";
    /// [`PullBundle`](crate::PullBundle) → operation, whose target is the image's name.
    PULL_IMAGE_BUNDLE: Post "/v1/images:pull-bundle";
    /// [`PackBundle`](crate::PackBundle) → operation, its result a [`BundleView`](crate::BundleView).
    PACK_IMAGE_BUNDLE: Post "/v1/images/{name}/bundle" Named;
    /// → operation, its result an [`ImageView`](crate::ImageView).
    PROMOTE_IMAGE: Post "/v1/images/{name}/promote" Named;
    /// → operation.
    DELETE_IMAGE: Post "/v1/images/{name}/delete" Named;
    /// [`PruneCache`](crate::PruneCache) → [`PrunedCache`](crate::PrunedCache).
    PRUNE_IMAGE_CACHE: Post "/v1/image-cache/prune";

    /// [`EventsQuery`](crate::EventsQuery) → a line of JSON for each [`EventView`](crate::EventView).
    LIST_EVENTS: Get "/v1/events";
    /// → list of operations: those at work and the latest that ended.
    LIST_OPERATIONS: Get "/v1/operations";
    /// [`OperationQuery`](crate::OperationQuery) → operation, at once if its revision is beyond `after` or it has ended,
    /// else after the next change or 25 s.
    SHOW_OPERATION: Get "/v1/operations/{id}" Named;
    /// → operation.
    CANCEL_OPERATION: Post "/v1/operations/{id}/cancel" Named;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChannelQuery, EventsQuery, LogsQuery};

    #[test]
    fn a_path_has_what_it_is_about_and_its_query() {
        assert_eq!(LIST_VMS.as_ref(), "/v1/vms");
        assert_eq!(SHOW_VM.of("dev").as_ref(), "/v1/vms/dev");
        assert_eq!(STOP_VM.of("../a b?").as_ref(), "/v1/vms/..%2Fa%20b%3F/stop");
        let channel = OPEN_VM_CHANNEL.of("dev").asking(&ChannelQuery { port: 1024 });
        assert_eq!(channel.to_string(), "/v1/vms/dev/channel?port=1024");
        assert_eq!(SHOW_VM_LOGS.of("dev").asking(&LogsQuery::default()).as_ref(), "/v1/vms/dev/logs");
        let events = LIST_EVENTS.asking(&EventsQuery { after: Some(7), follow: true });
        assert_eq!(events.as_ref(), "/v1/events?after=7&follow=true");
    }

    #[test]
    fn a_route_stands_once_and_has_a_part_that_varies_where_its_type_says_so() {
        let mut routes = ALL.to_vec();
        routes.sort_unstable();
        routes.dedup();
        assert_eq!(routes.len(), ALL.len());
        assert!(
            ALL.iter()
                .all(|(_, path)| (path.starts_with("/v1/") || *path == "/") && path.matches('{').count() < 2)
        );
        assert!(SHOW_VM.template.contains('{') && !LIST_VMS.template.contains('{'));
    }
}
