use super::*;
use crate::kernel::test_trees::TestRoot;

#[test]
fn the_kernel_and_its_modules_are_found_where_each_distribution_has_them() {
    for distro in Distro::ALL {
        let root = TestRoot::new(distro);
        let kernel = find_kernel(root.path(), distro, None).unwrap();
        assert_eq!((kernel.release.as_str(), &kernel.modules), (root.release, &root.modules()));
        assert_eq!(kernel.vmlinuz, root.vmlinuz());
        assert_eq!(find_kernel(root.path(), distro, Some(root.release)).unwrap(), kernel);
    }
}

#[test]
fn two_flavours_of_alpine_are_two_kernels() {
    let root = TestRoot::new(Distro::Alpine);
    root.add("6.6.100-0-lts");
    let error = find_kernel(root.path(), Distro::Alpine, None).unwrap_err();
    assert!(error.to_string().ends_with("6.6.100-0-lts, 6.6.100-0-virt"));
    let lts = find_kernel(root.path(), Distro::Alpine, Some("6.6.100-0-lts")).unwrap();
    assert!(lts.vmlinuz.ends_with("boot/vmlinuz-lts"));
}
