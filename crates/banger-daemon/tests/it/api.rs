//! The contract as a document.

use banger_api::VmView;
use banger_api::route::{self, RouteMethod};
use banger_daemon::http::api_document;
use serde_json::Value;

use crate::sandbox::Sandbox;

/// Method, path and operation id of everything that can be asked for.
fn routes(document: &Value) -> String {
    let paths = document["paths"].as_object().unwrap();
    let lines = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| {
            let id = operation["operationId"].as_str().unwrap();
            format!("{} {path} {id}\n", method.to_uppercase())
        })
    });
    lines.collect()
}

#[tokio::test]
async fn the_document_has_every_route_and_is_served() {
    let sandbox = Sandbox::start().await;
    let served: Value = sandbox.client.get("/v1/openapi.json").await.unwrap();
    assert_eq!(served, serde_json::to_value(api_document()).unwrap());
    insta::assert_snapshot!(routes(&served), @r"
    GET / show_service
    GET /v1/catalog/kernels list_catalog_kernels
    GET /v1/defaults show_defaults
    GET /v1/doctor show_doctor
    GET /v1/events list_events
    POST /v1/image-cache/prune prune_image_cache
    GET /v1/images list_images
    POST /v1/images register_image
    GET /v1/images/{name} show_image
    POST /v1/images/{name}/bundle pack_image_bundle
    POST /v1/images/{name}/delete delete_image
    POST /v1/images/{name}/promote promote_image
    POST /v1/images:pull pull_image
    POST /v1/images:pull-bundle pull_image_bundle
    GET /v1/info show_info
    GET /v1/kernels list_kernels
    POST /v1/kernels import_kernel
    GET /v1/kernels/{name} show_kernel
    POST /v1/kernels/{name}/delete delete_kernel
    POST /v1/kernels:pull pull_kernel
    GET /v1/operations list_operations
    GET /v1/operations/{id} show_operation
    POST /v1/operations/{id}/cancel cancel_operation
    POST /v1/shutdown shutdown
    GET /v1/vms list_vms
    POST /v1/vms create_vm
    GET /v1/vms/{vm} show_vm
    GET /v1/vms/{vm}/channel open_vm_channel
    POST /v1/vms/{vm}/delete delete_vm
    GET /v1/vms/{vm}/ending show_vm_ending
    POST /v1/vms/{vm}/kill kill_vm
    GET /v1/vms/{vm}/logs show_vm_logs
    GET /v1/vms/{vm}/ports list_vm_ports
    POST /v1/vms/{vm}/restart restart_vm
    POST /v1/vms/{vm}/set set_vm
    GET /v1/vms/{vm}/ssh show_vm_ssh
    POST /v1/vms/{vm}/start start_vm
    GET /v1/vms/{vm}/stats show_vm_stats
    POST /v1/vms/{vm}/stop stop_vm
    POST /v1/vms/{vm}/touch touch_vm
    ");
}

#[test]
fn what_clients_ask_by_is_what_is_served() {
    let document = serde_json::to_value(api_document()).unwrap();
    let mut served: Vec<_> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| (method.clone(), path.clone()))
        })
        .collect();
    // The document does not describe itself.
    served.push(("get".to_owned(), route::SHOW_DOCUMENT.template.to_owned()));
    let known = |(method, path): &(RouteMethod, &str)| {
        let method = match method {
            RouteMethod::Get => "get",
            RouteMethod::Post => "post",
        };
        (method.to_owned(), (*path).to_owned())
    };
    let mut known: Vec<_> = route::ALL.iter().map(known).collect();
    served.sort();
    known.sort();
    assert_eq!(known, served);
}

#[test]
fn every_part_of_a_path_that_varies_is_described() {
    let document = serde_json::to_value(api_document()).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let Some((_, rest)) = path.split_once('{') else { continue };
        let name = rest.split_once('}').unwrap().0;
        for operation in methods.as_object().unwrap().values() {
            let parameters = operation["parameters"].as_array().unwrap_or_else(|| panic!("{path}"));
            assert!(parameters.iter().any(|parameter| parameter["name"] == name), "{path}");
        }
    }
}

#[tokio::test]
async fn a_pretty_list_is_the_same_list_indented() {
    let sandbox = Sandbox::start().await;
    for pretty in ["/v1/vms?pretty=true", "/v1/vms"] {
        assert_eq!(sandbox.client.get::<Value>(pretty).await.unwrap(), serde_json::json!([]));
    }
    let begun = sandbox.begin("/v1/vms", serde_json::json!({ "name": "one" })).await.unwrap();
    sandbox.finish(begun).await.unwrap();
    let plain: Vec<VmView> = sandbox.client.get("/v1/vms").await.unwrap();
    let pretty = sandbox.client.get_text("/v1/vms?pretty=true").await.unwrap();
    assert_eq!(pretty, serde_json::to_string_pretty(&plain).unwrap() + "\n");
    let error = sandbox.client.get::<Value>("/v1/vms?colour=red").await.unwrap_err();
    assert!(error.to_string().contains("colour"), "{error}");
}
