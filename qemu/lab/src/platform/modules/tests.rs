// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Module files made by hand: the smallest ELF file with a `.modinfo` section.

use std::fs;

use super::*;

/// An ELF64 file with the sections null, `.modinfo` and `.shstrtab`.
fn elf(modinfo: &[u8]) -> Vec<u8> {
    const NAMES: &[u8] = b"\0.modinfo\0.shstrtab\0";
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let sections_offset = (64 + modinfo.len() + NAMES.len()).next_multiple_of(8);
    file.extend([1, 0, 62, 0, 1, 0, 0, 0]);
    file.extend([0; 16]);
    file.extend((sections_offset as u64).to_le_bytes());
    file.extend([0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 64, 0, 3, 0, 2, 0]);
    file.extend(modinfo);
    file.extend(NAMES);
    file.resize(sections_offset, 0);
    let mut section = |name: u32, kind: u32, offset: usize, size: usize| {
        file.extend(name.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend([0; 16]);
        file.extend((offset as u64).to_le_bytes());
        file.extend((size as u64).to_le_bytes());
        file.extend([
            0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ]);
    };
    section(0, 0, 0, 0);
    section(1, 1, 64, modinfo.len());
    section(10, 3, 64 + modinfo.len(), NAMES.len());
    file
}

fn module(depends: &str) -> Vec<u8> {
    elf(format!("license=GPL\0depends={depends}\0vermagic=7.3.4 SMP mod_unload\0").as_bytes())
}

fn folder(modules: &[(&str, &str)], builtin: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let kernel = folder.path().join("kernel/drivers");
    fs::create_dir_all(&kernel).unwrap();
    for (file, depends) in modules {
        fs::write(kernel.join(file), module(depends)).unwrap();
    }
    fs::write(folder.path().join("modules.builtin"), builtin).unwrap();
    folder
}

fn order(folder: &Path, names: &[&str]) -> Result<Vec<String>> {
    let modules = ModuleFolder::open(folder)?.load_order(names, "7.3.4")?;
    Ok(modules.into_iter().map(|module| module.name).collect())
}

#[test]
fn dependencies_load_first_and_once() {
    let folder = folder(
        &[
            ("cxl_pci.ko", "cxl_core,cxl_mem"),
            ("cxl_mem.ko", "cxl_core"),
            ("cxl_core.ko", "einj"),
            ("einj.ko", ""),
            ("unused.ko", ""),
        ],
        "",
    );
    assert_eq!(
        order(folder.path(), &["cxl_mem", "cxl_pci"]).unwrap(),
        ["einj", "cxl_core", "cxl_mem", "cxl_pci"]
    );
}

#[test]
fn dashes_and_underscores_are_the_same() {
    let folder = folder(
        &[("vfio-pci.ko", "vfio-pci-core"), ("vfio-pci-core.ko", "")],
        "",
    );
    assert_eq!(
        order(folder.path(), &["vfio_pci"]).unwrap(),
        ["vfio_pci_core", "vfio_pci"]
    );
}

#[test]
fn built_in_modules_are_left_out() {
    let folder = folder(
        &[("cxl_mem.ko", "cxl_core")],
        "kernel/drivers/cxl/core/cxl_core.ko\nkernel/drivers/cxl/cxl_port.ko\n",
    );
    assert_eq!(
        order(folder.path(), &["cxl_port", "cxl_mem"]).unwrap(),
        ["cxl_mem"]
    );
}

#[test]
fn a_missing_module_is_named() {
    let folder = folder(&[("cxl_mem.ko", "cxl_core")], "");
    let error = order(folder.path(), &["cxl_mem"]).unwrap_err();
    assert!(error.to_string().contains("cxl_core"), "{error}");
}

#[test]
fn modules_of_another_kernel_are_refused() {
    let folder = folder(&[("cxl_mem.ko", "")], "");
    let modules = ModuleFolder::open(folder.path()).unwrap();
    let error = modules.load_order(&["cxl_mem"], "6.12.1").unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("belongs to Linux 7.3.4, but the kernel is 6.12.1")
    );
}

#[test]
fn a_circle_of_dependencies_ends() {
    let folder = folder(&[("a.ko", "b"), ("b.ko", "a")], "");
    let error = order(folder.path(), &["a"]).unwrap_err();
    assert!(error.to_string().contains("circle"), "{error}");
}

#[test]
fn what_is_no_module_is_refused() {
    let folder = folder(&[], "");
    fs::write(folder.path().join("kernel/cxl_mem.ko"), "text").unwrap();
    let error = order(folder.path(), &["cxl_mem"]).unwrap_err();
    assert!(
        error.to_string().ends_with("is no kernel module"),
        "{error}"
    );
}

#[test]
fn compressed_modules_are_expanded() {
    let folder = folder(&[], "");
    let kernel = folder.path().join("kernel");
    // `printf hello | xz --check=crc32` and `printf hello | zstd --no-check`.
    let xz = [
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x01, 0x69, 0x22, 0xde, 0x36, 0x02, 0x00, 0x21,
        0x01, 0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x04, 0x68, 0x65, 0x6c,
        0x6c, 0x6f, 0x00, 0x00, 0x00, 0x00, 0x86, 0xa6, 0x10, 0x36, 0x00, 0x01, 0x19, 0x05, 0xbc,
        0xe8, 0xec, 0xcb, 0x90, 0x42, 0x99, 0x0d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01, 0x59, 0x5a,
    ];
    let zstd = [
        0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x29, 0x00, 0x00, 0x68, 0x65, 0x6c, 0x6c, 0x6f,
    ];
    let content = |name: &str, bytes: &[u8]| {
        let file = kernel.join(name);
        fs::write(&file, bytes).unwrap();
        read(&file)
    };
    assert_eq!(content("a.ko.xz", &xz).unwrap(), b"hello");
    assert_eq!(content("a.ko.zst", &zstd).unwrap(), b"hello");
    assert!(content("a.ko.xz", &xz[..36]).is_err());
    assert!(content("a.ko.zst", &zstd[..10]).is_err());
    // The content decides, not the name.
    assert_eq!(content("a.ko.gz", &zstd).unwrap(), b"hello");
    assert_eq!(content("a.ko", b"\x7fELF").unwrap(), b"\x7fELF");
}

#[test]
fn a_users_file_takes_the_place_of_the_kernels_module() {
    let kernel = folder(&[("cxl_core.ko", ""), ("cxl_pci.ko", "cxl_core")], "");
    let own = folder(&[("cxl-core.ko", "helper"), ("helper.ko", "")], "");
    let file = own.path().join("kernel/drivers/cxl-core.ko");
    let request: ModuleRequest = file.to_str().unwrap().parse().unwrap();
    let helper = own.path().join("kernel/drivers/helper.ko");
    let helper: ModuleRequest = helper.to_str().unwrap().parse().unwrap();
    let mut modules = ModuleFolder::open(kernel.path()).unwrap();
    modules.replace(&[request.clone(), helper]);
    let names = |modules: Vec<Module>| -> Vec<_> {
        modules.into_iter().map(|module| module.name).collect()
    };
    let all = modules.load_order(&["cxl_pci"], "7.3.4").unwrap();
    assert_eq!(names(all), ["helper", "cxl_core", "cxl_pci"]);
    let own = modules.load_order_of(&[request], "7.3.4").unwrap();
    assert_eq!(names(own), ["helper", "cxl_core"]);
}

#[test]
fn what_is_no_module_is_refused_at_once() {
    let request = |text: &str| text.parse::<ModuleRequest>();
    assert_eq!(
        request("virtio-net"),
        Ok(ModuleRequest::Named("virtio_net".into()))
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text.ko");
    fs::write(&file, "no module").unwrap();
    for text in ["", "a.out", "./x", "/no/such.ko", file.to_str().unwrap()] {
        let error = request(text).unwrap_err();
        assert!(error.contains("module"), "{error}");
    }
}

#[test]
fn without_a_folder_the_option_for_it_is_named() {
    let error = ModuleFolder::default().load_order(&["cxl_core"], "7.3.4");
    let error = error.unwrap_err().to_string();
    assert!(error.contains("--modules"), "{error}");
}
