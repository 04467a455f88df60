// SPDX-License-Identifier: MIT
pragma solidity ^0.8.4;

/// @title What all system contracts have in common
/// @notice The contracts are part of the node: their addresses are fixed, they have no bytecode to
/// read, and they accept calls from externally owned accounts only. None of them takes native coin.
/// @dev Units, everywhere: sizes are signed lots (positive: long, or a buy), prices are ticks, money
/// is atoms of the collateral (0.000001 USDC). `IExchange.getMarket` gives what converts them.
/// Times end in `Ms` (milliseconds since 1970, block time), rates in `Ppm` or `Ppb`.
interface ISystem {
    /// @notice No function of the contract has this selector.
    /// @param selector The first four bytes of the calldata; missing ones are 0.
    error UnknownFunction(bytes4 selector);

    /// @notice The arguments do not decode as the function's ABI says.
    /// @param selector The function that was called.
    error MalformedCalldata(bytes4 selector);

    /// @notice System contracts take no native coin.
    /// @param value What was sent, in wei.
    error ValueNotAccepted(uint256 value);

    /// @notice The mode of the market or of the chain closes this action.
    /// @param market The market; 0 is the whole chain.
    /// @param mode See `IGovernance.Mode`.
    error NotAllowedInMode(uint32 market, uint8 mode);
}
