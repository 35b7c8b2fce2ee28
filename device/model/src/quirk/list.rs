// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! All quirks: layer, name and explanation.

use super::Layer;

macro_rules! quirks {
    ($($layer:ident { $($quirk:ident, $name:literal, $explanation:literal;)+ })+) => {
        /// One rule that the device breaks on purpose, for tests of drivers and conformance suites.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Quirk {
            $($(#[doc = $explanation] $quirk,)+)+
        }

        impl Quirk {
            /// All quirks, layer by layer.
            pub const ALL: &[Self] = &[$($(Self::$quirk),+),+];

            /// The name in configuration files and reports, in kebab case.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Self::$quirk => $name,)+)+
                }
            }

            /// Which rule is broken and how devices get it wrong, as a sentence.
            pub const fn explanation(self) -> &'static str {
                match self {
                    $($(Self::$quirk => $explanation,)+)+
                }
            }

            /// The part of the unit whose rule is broken.
            pub const fn layer(self) -> Layer {
                match self {
                    $($(Self::$quirk => Layer::$layer,)+)+
                }
            }
        }
    };
}

quirks! {
Header {
    HeaderVersionZero, "header-version-zero",
        "The header names version 0 instead of 1, as early emulations did.";
    HeaderInstancesOneMore, "header-instances-one-more",
        "The header counts one instance that is not there.";
    HeaderLengthOfRegisters, "header-length-of-registers",
        "The instance length covers the registers only, so the next instance is not where it says.";
    HeaderReservedBits, "header-reserved-bits",
        "Reserved bits of the header read as 1.";
}
Capabilities {
    CapabilityReservedBits, "capability-reserved-bits",
        "Reserved bits of the second capability register read as 1.";
    HotlistSizeOneMore, "hotlist-size-one-more",
        "The capabilities count one entry more than the ring has before it wraps.";
    HotlistSizeOneLess, "hotlist-size-one-less",
        "The capabilities count the usable entries, one less than the ring has before it wraps.";
    UnitSizeRefused, "unit-size-refused",
        "The largest unit size in the capabilities is refused when a driver chooses it.";
    UnitSizesShifted, "unit-sizes-shifted",
        "The unit sizes in the capabilities are one bit too high, as if bit 0 were 128 B.";
    EpochBoundsSwapped, "epoch-bounds-swapped",
        "The minimum and the maximum epoch have changed places in the capabilities.";
    EpochScaleFromZero, "epoch-scale-from-zero",
        "The epoch scales in the capabilities are numbered from 0 instead of 1.";
    TrackableRequestsShifted, "trackable-requests-shifted",
        "Bit n of the trackable requests stands for code n instead of code n + 1.";
    DownSamplingFactorsShifted, "down-sampling-factors-shifted",
        "Bit n of the down-sampling factors stands for 2^(n-1), as in a withdrawn emulation.";
    CounterWidthOneMore, "counter-width-one-more",
        "The status names one bit more than the counts in the entries have.";
    CounterWidthNever, "counter-width-never",
        "The counter width in the status stays 0 although the unit size is written.";
    RangeOffsetFromBlock, "range-offset-from-block",
        "The offset of the range bitmap counts from the block instead of the instance.";
    HotlistOffsetFromBlock, "hotlist-offset-from-block",
        "The offset of the hotlist counts from the block instead of the instance.";
}
PowerOn {
    PowerOnRequestCode, "power-on-request-code",
        "The request code is 6 after power-on instead of 0.";
    PowerOnFillLevel, "power-on-fill-level",
        "The fill-level threshold is at its maximum after power-on instead of 0.";
    PowerOnRangesSet, "power-on-ranges-set",
        "All bits of the range bitmap are set after power-on, so all memory is tracked unasked.";
    PowerOnStatusSet, "power-on-status-set",
        "The overflow bit is set after power-on although nothing was lost.";
    FunctionResetKeepsConfiguration, "function-reset-keeps-configuration",
        "A function-level reset leaves the configuration registers as they are.";
    FunctionResetKeepsRanges, "function-reset-keeps-ranges",
        "A function-level reset leaves the range bitmap as it is.";
    FunctionResetKeepsList, "function-reset-keeps-list",
        "A function-level reset leaves head and tail where they are.";
    FunctionResetKeepsEnabled, "function-reset-keeps-enabled",
        "A function-level reset leaves an enabled instance enabled.";
}
Configuration {
    RequestsWritableWhileEnabled, "requests-writable-while-enabled",
        "The first configuration register takes new values while the instance is enabled.";
    UnitWritableWhileEnabled, "unit-writable-while-enabled",
        "The second configuration register takes new values while the instance is enabled.";
    FillLevelWritableWhileEnabled, "fill-level-writable-while-enabled",
        "The fill-level threshold takes new values while the instance is enabled.";
    RangesWritableWhileEnabled, "ranges-writable-while-enabled",
        "The range bitmap takes new values while the instance is enabled.";
    ConfigurationReservedBits, "configuration-reserved-bits",
        "Reserved bits of the configuration registers keep what is written to them.";
    HalfWriteClobbers, "half-write-clobbers",
        "A 4-byte write of a 64-bit register zeroes the other half.";
    NarrowWriteIgnored, "narrow-write-ignored",
        "Writes of 1 or 2 bytes to configuration registers do nothing.";
    RangeNarrowWriteIgnored, "range-narrow-write-ignored",
        "Writes of fewer than 8 bytes to the range bitmap do nothing.";
    ThresholdTruncated, "threshold-truncated",
        "The hotness threshold keeps its low 8 bits only.";
    ResetBitSticks, "reset-bit-sticks",
        "The reset bit stays 1 after a reset instead of clearing itself.";
    RefusedEnableBitSticks, "refused-enable-bit-sticks",
        "The enable bit still reads as 1 after the configuration was refused.";
}
Refusal {
    AcceptsReservedRequestCode, "accepts-reserved-request-code",
        "A reserved request code is taken for code 6 instead of being refused.";
    AcceptsUntrackableRequest, "accepts-untrackable-request",
        "A request code that the capabilities do not list is accepted.";
    AcceptsUnitSize, "accepts-unit-size",
        "A unit size that the capabilities do not list is accepted.";
    AcceptsMode, "accepts-mode",
        "A reserved mode is taken for epoch mode instead of being refused.";
    AcceptsEpochCodes, "accepts-epoch-codes",
        "A reserved epoch scale or a zero multiplier is taken for the shortest epoch.";
    AcceptsShortEpoch, "accepts-short-epoch",
        "An epoch below the minimum is accepted.";
    AcceptsLongEpoch, "accepts-long-epoch",
        "An epoch above the maximum is accepted.";
    AcceptsDownSampling, "accepts-down-sampling",
        "A down-sampling factor that the capabilities do not list is accepted.";
    AcceptsWideThreshold, "accepts-wide-threshold",
        "A threshold that no counter can reach is accepted, and no unit is ever hot.";
    AcceptsUnsupportedInterrupt, "accepts-unsupported-interrupt",
        "An interrupt enable that the capabilities do not list is accepted.";
    AcceptsOverlappingRange, "accepts-overlapping-range",
        "A range that another instance tracks is accepted without the capability for it.";
    RefusesLargestThreshold, "refuses-largest-threshold",
        "A threshold equal to the largest count is refused although a counter reaches it.";
    RefusesShortestEpoch, "refuses-shortest-epoch",
        "The minimum epoch itself is refused.";
    RefusesLongestEpoch, "refuses-longest-epoch",
        "The maximum epoch itself is refused.";
}
Operation {
    InProgressNeverClears, "in-progress-never-clears",
        "The status shows an enable operation for as long as the instance is enabled.";
    OperationCodesSwapped, "operation-codes-swapped",
        "The status shows code 2 while enabling and code 1 while disabling.";
    OperationTakesASecond, "operation-takes-a-second",
        "Enable, disable and reset take a second, ten times what drivers wait.";
    EnabledBeforeDone, "enabled-before-done",
        "The enabled bit is set while the enable operation is still in progress.";
    EnableRestartsEpoch, "enable-restarts-epoch",
        "A write of the enable bit of an enabled instance begins a new epoch, with the counts of the old one.";
    EnableEmptiesList, "enable-empties-list",
        "Enabling discards the entries that the driver has not taken.";
    DisableEmptiesList, "disable-empties-list",
        "Disabling discards the entries that the driver has not taken.";
    DisableKeepsCounting, "disable-keeps-counting",
        "A disabled instance counts and reports on.";
    DisableKeepsCounters, "disable-keeps-counters",
        "Counts from before disable are still there after the next enable.";
    DisableLosesConfiguration, "disable-loses-configuration",
        "Disabling clears the configuration registers.";
    ResetKeepsList, "reset-keeps-list",
        "Reset leaves head and tail where they are.";
    ResetKeepsStatus, "reset-keeps-status",
        "Reset leaves the overflow and fill-level bits set.";
    ResetKeepsCounters, "reset-keeps-counters",
        "Counts from before reset are still there after the next enable.";
    ResetKeepsEnabled, "reset-keeps-enabled",
        "Reset leaves an enabled instance enabled.";
    ResetLosesConfiguration, "reset-loses-configuration",
        "Reset clears the configuration registers, as a power-on does.";
    ResetLosesRanges, "reset-loses-ranges",
        "Reset clears the range bitmap.";
    ResetIgnored, "reset-ignored",
        "The reset bit does nothing.";
}
Selection {
    ReadsAndWritesSwapped, "reads-and-writes-swapped",
        "Read filters track writes and write filters track reads.";
    FilterIgnored, "filter-ignored",
        "All requests are tracked whatever the request code says.";
    FilterReadsAndWrites, "filter-reads-and-writes",
        "Every filter tracks reads and writes.";
    TeeTracked, "tee-tracked",
        "Filters for non-TEE requests track requests of trusted environments too.";
    TeeDropped, "tee-dropped",
        "Filters for all requests leave requests of trusted environments out.";
    RangeIgnored, "range-ignored",
        "Requests are counted whatever their range bit says.";
    RangeInverted, "range-inverted",
        "A set range bit keeps requests out and a clear one lets them in.";
    RangeShifted, "range-shifted",
        "Bit n of the range bitmap acts on range n + 1.";
    RangeGranularityDoubled, "range-granularity-doubled",
        "A bit of the range bitmap acts on 512 MiB instead of 256 MiB.";
    DownSamplingIgnored, "down-sampling-ignored",
        "Every tracked request counts whatever the down-sampling factor says.";
    DownSamplingDoubled, "down-sampling-doubled",
        "One of 2^(n+1) requests counts instead of one of 2^n.";
    DownSamplingHalved, "down-sampling-halved",
        "One of 2^(n-1) requests counts instead of one of 2^n.";
    DownSamplingScaledBack, "down-sampling-scaled-back",
        "Counts in entries are multiplied by the down-sampling factor.";
    RandomisedNotRandom, "randomised-not-random",
        "Randomised down-sampling counts every 2^n-th request all the same.";
    RandomisedAlways, "randomised-always",
        "Down-sampling is randomised although the driver did not ask for it.";
    InstancesShareCounters, "instances-share-counters",
        "A request moves a unit's counter once for each enabled instance.";
}
Counting {
    CountWraps, "count-wraps",
        "The count field starts again from 0 above its maximum instead of saturating.";
    CountSaturatesEarly, "count-saturates-early",
        "Counters saturate one bit below their width.";
    CountOneLess, "count-one-less",
        "The count field leaves out the request that made the unit hot.";
    CountZero, "count-zero",
        "The count field of entries is always 0.";
    ThresholdExclusive, "threshold-exclusive",
        "A unit is hot when its count is above the threshold, not when it reaches it.";
    ThresholdIgnored, "threshold-ignored",
        "Every unit with a request is hot whatever the threshold says.";
    AlwaysOnReportsTwice, "always-on-reports-twice",
        "A unit that becomes hot in always-on mode is appended twice.";
    AlwaysOnKeepsCounter, "always-on-keeps-counter",
        "A counter is not freed in always-on mode, so each further request appends the unit again.";
    AlwaysOnReportsOnce, "always-on-reports-once",
        "A counter is not freed in always-on mode, so the unit is never appended again.";
    AlwaysOnCountWrong, "always-on-count-wrong",
        "The count field in always-on mode is the largest count instead of the threshold.";
    UnitShifted, "unit-shifted",
        "Entries name the unit after the one that is hot.";
    UnitIsAddress, "unit-is-address",
        "Entries hold the unit's address instead of its number.";
    UnitFieldsSwapped, "unit-fields-swapped",
        "Entries hold the count above bit 32 and the unit below it.";
    LargeUnitsCapped, "large-units-capped",
        "Units above 2 MiB are counted and numbered as units of 2 MiB.";
    UnitRandom, "unit-random",
        "Entries name units that have nothing to do with the hot ones.";
    EntryIsAddress, "entry-is-address",
        "Entries hold the unit's address with the count in the bits below the unit size.";
    UnitSizeIgnored, "unit-size-ignored",
        "Units are counted and numbered as units of 4 KiB, whatever size is configured.";
    SmallUnitsRounded, "small-units-rounded",
        "Units below 64 KiB are counted and numbered as units of 64 KiB.";
}
Epoch {
    EpochTwiceAsLong, "epoch-twice-as-long",
        "Epochs last twice as long as configured.";
    EpochHalfAsLong, "epoch-half-as-long",
        "Epochs last half as long as configured.";
    EpochMultiplierIgnored, "epoch-multiplier-ignored",
        "Epochs last one unit of their scale whatever the multiplier says.";
    EpochInMilliseconds, "epoch-in-milliseconds",
        "Epochs last whole milliseconds, one at least: what else is configured is cut off.";
    EpochDrifts, "epoch-drifts",
        "Every epoch after the first lasts an eighth longer than configured, so that the ends drift.";
    EpochKeepsCounters, "epoch-keeps-counters",
        "Counters are not cleared at the end of an epoch.";
    EpochKeepsColdCounters, "epoch-keeps-cold-counters",
        "Counters of units that are not hot are not cleared at the end of an epoch.";
    EpochPerCounterIsGlobal, "epoch-per-counter-is-global",
        "All units share one epoch although the capabilities name an epoch per counter.";
    EpochGlobalIsPerCounter, "epoch-global-is-per-counter",
        "Each unit has its own epoch although the capabilities name a global one.";
    EpochReportsAtThreshold, "epoch-reports-at-threshold",
        "Units are appended in epoch mode as soon as they are hot, as in always-on mode.";
}
Hotlist {
    FullOneEarly, "full-one-early",
        "The list counts as full while two of its entries are free.";
    FullLooksEmpty, "full-looks-empty",
        "The last free entry is used too, so that a full list has head and tail equal.";
    FullOverwrites, "full-overwrites",
        "New entries push the oldest out of a full list by moving the head.";
    HeadPastTail, "head-past-tail",
        "A head past the tail is accepted.";
    HeadOutOfRange, "head-out-of-range",
        "A head beyond the list is accepted modulo its size.";
    HeadReadsZero, "head-reads-zero",
        "The head reads as 0 wherever it is.";
    HeadShortWriteIgnored, "head-short-write-ignored",
        "A 2-byte write of the head does nothing.";
    HeadWideWriteIgnored, "head-wide-write-ignored",
        "A 4- or 8-byte write of head and tail together does nothing.";
    HeadOfFirstInstance, "head-of-first-instance",
        "A write to the second instance's head moves the first instance's.";
    TailWritable, "tail-writable",
        "A write to the tail moves it.";
    EntryAfterTail, "entry-after-tail",
        "The newest entry is stored after the tail has moved past it, with the next insertion.";
    EntryBytesSwapped, "entry-bytes-swapped",
        "Entries are stored in big-endian order.";
    EntryTwice, "entry-twice",
        "Each hot unit is appended twice.";
    ColdestFirst, "coldest-first",
        "Of the hot units of an epoch, the coldest are kept.";
    LowestFirst, "lowest-first",
        "Of the hot units of an epoch, those with the lowest addresses are kept.";
    BacklogLost, "backlog-lost",
        "Hot units that wait for room never come although postponed insertion is supported.";
    BacklogReversed, "backlog-reversed",
        "Hot units that wait for room come newest first.";
}
Status {
    StatusPlainWrite, "status-plain-write",
        "Overflow and fill level take the written value instead of being cleared by 1.";
    StatusNeverClears, "status-never-clears",
        "Writing 1 to overflow or fill level does not clear it.";
    StatusClearsBoth, "status-clears-both",
        "Clearing one of overflow and fill level clears the other too.";
    StatusClearsByAnyWrite, "status-clears-by-any-write",
        "Any write to the status clears overflow and fill level, even of 0.";
    StatusClearsOnRead, "status-clears-on-read",
        "Reading the status clears overflow and fill level.";
    StatusBitsSwapped, "status-bits-swapped",
        "Overflow and fill level have changed places.";
    OverflowNeverSet, "overflow-never-set",
        "The overflow bit stays clear when hot units are lost.";
    OverflowWhenWaiting, "overflow-when-waiting",
        "The overflow bit is set for hot units that wait for room and are not lost.";
    OverflowWhenFull, "overflow-when-full",
        "The overflow bit is set when the list becomes full, before anything is lost.";
    StatusNeedsInterrupts, "status-needs-interrupts",
        "Overflow and fill level are set only while their interrupts are enabled.";
    OverflowEachEpoch, "overflow-each-epoch",
        "The overflow bit is set at the end of each epoch, lost units or not.";
    FillLevelNeverSet, "fill-level-never-set",
        "The fill-level bit stays clear however many entries the list holds.";
    FillLevelAtHalf, "fill-level-at-half",
        "The fill-level bit is set at half of its threshold.";
    FillLevelNeverRearmed, "fill-level-never-rearmed",
        "The fill-level bit is set once and, once cleared, never again.";
    FillLevelNotLatched, "fill-level-not-latched",
        "The fill-level bit follows the list instead of staying set until it is cleared.";
}
Interrupt {
    InterruptNotForOverflow, "interrupt-not-for-overflow",
        "No interrupt is sent for overflow although it is enabled.";
    InterruptNotForFillLevel, "interrupt-not-for-fill-level",
        "No interrupt is sent for the fill level although it is enabled.";
    InterruptThoughDisabled, "interrupt-though-disabled",
        "Interrupts are sent although their enable bits are clear.";
    InterruptEnablesSwapped, "interrupt-enables-swapped",
        "The overflow enable acts on the fill level and the other way round.";
    InterruptWrongMessage, "interrupt-wrong-message",
        "Interrupts use the message after the one in the capabilities.";
    InterruptOnce, "interrupt-once",
        "After the status is cleared, the next rise of a bit sends no interrupt.";
    InterruptEachInsertion, "interrupt-each-insertion",
        "An interrupt is sent with each insertion while a status bit is set, not when it rises.";
    InterruptEachEpoch, "interrupt-each-epoch",
        "An interrupt is sent at the end of each epoch although no status bit rises.";
}
// Function: what the device around the blocks gets wrong; blocks ignore these.
Discovery {
    LocatorMissing, "locator-missing",
        "The Register Locator has another identifier, so no block can be found.";
    LocatorOldBlockId, "locator-old-block-id",
        "The Register Locator lists blocks under the identifier of a performance monitor.";
    LocatorUpperBar, "locator-upper-bar",
        "The Register Locator names the upper half of the 64-bit BAR as a BAR of its own.";
    LocatorOffsetTooHigh, "locator-offset-too-high",
        "The Register Locator's offset of each block is 64 KiB too high.";
    LocatorEntryTwice, "locator-entry-twice",
        "The Register Locator lists the last block twice.";
}
Function {
    FunctionResetIgnored, "function-reset-ignored",
        "A function-level reset leaves all blocks as they are.";
    FunctionResetLosesDecoders, "function-reset-loses-decoders",
        "A function-level reset takes committed HDM decoders away from the host's memory.";
    FunctionResetLosesMemEnable, "function-reset-loses-mem-enable",
        "A function-level reset switches CXL.mem off.";
    DecodersIgnored, "decoders-ignored",
        "Host physical addresses are taken for device physical ones.";
    VectorsShared, "vectors-shared",
        "All interrupts arrive at message 0, whatever the capabilities name.";
    BlocksMirrored, "blocks-mirrored",
        "The registers of every block are those of the first.";
    BlocksShareAccesses, "blocks-share-accesses",
        "Accesses reach the first enabled block only.";
}
}
