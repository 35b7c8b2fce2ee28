// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One CXL hotness monitoring unit as a pure state machine.
