// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The CXL Type-3 function around the hotness monitoring units, as pure code.
