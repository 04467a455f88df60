// SPDX-License-Identifier: MIT
pragma solidity ^0.8.4;

import {ISystem} from "./ISystem.sol";

/// @title The insurance fund, at 0x1005
/// @notice It earns a part of what liquidations bring beyond the bankruptcy price, and pays what they
/// lack.
interface ILiquidatorVault is ISystem {
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
