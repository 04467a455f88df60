// SPDX-License-Identifier: MIT
pragma solidity ^0.8.4;

import {ISystem} from "./ISystem.sol";

/// @title Modes, the council and the chain's branch, at 0x1004
/// @notice What governs the chain, to read.
interface IGovernance is ISystem {
    /// @notice What a market or the chain is open for; the larger, the stricter. Of market and chain
    /// the stricter wins.
    enum Mode {
        OPEN, // everything
        POST_ONLY, // post-only orders near the oracle price, cancels, deposits
        CANCEL_ONLY, // cancels, deposits, token transfers
        HALTED // governance only
    }

    /// @notice Why a mode changed.
    enum ModeReason {
        GAP, // too long a time without a block
        STALE, // too few fresh reports
        JUMP, // a move that waits for its confirmation
        REOPENING, // a step back toward OPEN
        GOVERNANCE, // the council
        GENESIS // how the chain began
    }

    /// @notice The mode of a market or of the chain changed.
    /// @param market The market; 0 is the whole chain.
    /// @param modeBefore The mode.
    /// @param mode The new one.
    /// @param reason Why.
    event ModeChanged(uint32 indexed market, Mode modeBefore, Mode mode, ModeReason reason);

    /// @notice No market has this id.
    /// @param market The id.
    error MarketNotFound(uint32 market);

    /// @notice What a market is open for.
    /// @param market The market; 0 is the whole chain.
    /// @return The stricter of the market's mode and the chain's.
    function getMode(uint32 market) external view returns (Mode);

    /// @notice Which branch of this chain is read; each fork adds 1.
    /// @return 0 until the first fork.
    function forkId() external view returns (uint32);

    /// @notice The least nonce of accounts and permits on this branch.
    /// @return forkId * 2^32.
    function nonceFloor() external view returns (uint64);

    /// @notice Whose signatures govern.
    /// @return Ascending.
    function council() external view returns (address[] memory);

    /// @notice How many of them an action needs.
    /// @return The number of signatures.
    function threshold() external view returns (uint32);
}
