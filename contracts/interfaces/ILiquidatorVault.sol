// SPDX-License-Identifier: MIT
pragma solidity ^0.8.4;

import {ISystem} from "./ISystem.sol";

/// @title The insurance fund, at 0x1005
/// @notice It earns a part of what liquidations bring beyond the bankruptcy price, and pays what they
/// lack.
interface ILiquidatorVault is ISystem {
    /// @notice The vault took over a whole position, for what it was worth to its account's equity.
    /// @param market The market.
    /// @param account Whose position it was.
    /// @param size What was closed, signed as the order that would have closed it.
    /// @param bankruptcyQuote What the account got, signed.
    event PositionTakenOver(
        uint32 indexed market,
        address indexed account,
        int64 size,
        int256 bankruptcyQuote
    );

    /// @notice Two opposite positions closed what they have in common; nobody else was willing.
    /// @param market The market.
    /// @param account Whose equity was below zero, or the vault.
    /// @param counterparty Who stood first by profit and leverage.
    /// @param size What the account closed, signed as the order that would have closed it.
    /// @param quote What the account got from the counterparty, signed.
    event PositionDeleveraged(
        uint32 indexed market,
        address indexed account,
        address indexed counterparty,
        int64 size,
        int256 quote
    );

    /// @notice A negative balance without a position was set to 0.
    /// @param account Whose.
    /// @param byVault What the vault paid, in atoms.
    /// @param byDeficit What nobody could pay, in atoms.
    event BalanceAbsorbed(address indexed account, uint256 byVault, uint256 byDeficit);

    /// @notice What the vault is worth at the present marks.
    /// @return Atoms.
    function equity() external view returns (int256);

    /// @notice The vault's signed quote balance.
    /// @return Atoms.
    function balance() external view returns (int256);
}
