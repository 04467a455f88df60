// SPDX-License-Identifier: MIT
pragma solidity ^0.8.4;

import {ISystem} from "./ISystem.sol";

/// @title Signed price reports and what the chain makes of them, at 0x1003
/// @notice The accepted price is the lower median of the fresh reports of a quorum of reporters. A
/// move that is too large for one block closes the market until it is confirmed.
interface IOracle is ISystem {
    /// @notice Why a report does not count.
    enum ReportRefusal {
        INVALID_PRICE, // not positive, or beyond 53 bits
        FROM_THE_FUTURE, // observed after the block's time
        NOT_NEWER, // not observed after the reporter's last
        WRONG_FORK // signed for another branch of this chain
    }

    /// @notice A report counts.
    /// @param market The market.
    /// @param reporter Who reported.
    /// @param price Ticks.
    /// @param observedMs When the reporter saw the price.
    event PriceReported(
        uint32 indexed market,
        address indexed reporter,
        int64 price,
        uint64 observedMs
    );

    /// @notice A report does not count; its transaction succeeds nevertheless.
    /// @param market The market.
    /// @param reporter Who reported.
    /// @param price Ticks.
    /// @param observedMs When the reporter saw the price.
    /// @param reason Why.
    event ReportRefused(
        uint32 indexed market,
        address indexed reporter,
        int64 price,
        uint64 observedMs,
        ReportRefusal reason
    );

    /// @notice A block accepted a new price.
    /// @param market The market.
    /// @param priceBefore Ticks; 0 before the first.
    /// @param price Ticks.
    event PriceAccepted(uint32 indexed market, int64 priceBefore, int64 price);

    /// @notice No market has this id.
    /// @param market The id.
    error MarketNotFound(uint32 market);

    /// @notice Only a reporter of the chain's set may report.
    /// @param account Who tried.
    error NotReporter(address account);

    /// @notice Reports a price; reporters only.
    /// @param market The market.
    /// @param price Ticks.
    /// @param observedMs When it was seen; after the reporter's last, not after the block's time.
    /// @param forkId The branch that it is meant for; see `IGovernance.forkId`.
    function reportPrice(uint32 market, int64 price, uint64 observedMs, uint32 forkId) external;

    /// @notice The market's accepted price.
    /// @param market The market.
    /// @return price Ticks; 0 before the first.
    /// @return stale Whether fewer than a quorum of reports were fresh in the latest block.
    /// @return jump Whether a larger move waits for its confirmation.
    function getPrice(uint32 market) external view returns (int64 price, bool stale, bool jump);

    /// @notice A reporter's latest report that counts.
    /// @param market The market.
    /// @param reporter Who reported.
    /// @return price Ticks; 0 if there is none.
    /// @return observedMs When it was seen.
    function getReport(
        uint32 market,
        address reporter
    ) external view returns (int64 price, uint64 observedMs);

    /// @notice Who may report.
    /// @return Ascending.
    function reporters() external view returns (address[] memory);

    /// @notice How many fresh reports make a price.
    /// @return The number of reporters.
    function quorum() external view returns (uint32);
}
