// SPDX-License-Identifier: MIT
pragma solidity ^0.8.4;

import {ISystem} from "./ISystem.sol";

/// @title The collateral token, at 0x1001
/// @notice An ERC-20 named USDC with 6 decimals: the only money that margin accounts hold. It has
/// EIP-2612 permits and, on a development chain, a faucet. `IExchange.deposit` needs no approval.
interface IToken is ISystem {
    /// @notice Tokens moved; from the zero address: the faucet minted them.
    /// @param from Who had them.
    /// @param to Who has them.
    /// @param value Atoms.
    event Transfer(address indexed from, address indexed to, uint256 value);

    /// @notice An allowance was set by `approve` or `permit`.
    /// @param owner Whose tokens.
    /// @param spender Who may move them.
    /// @param value Atoms; 2^256 - 1 is unlimited.
    event Approval(address indexed owner, address indexed spender, uint256 value);

    /// @notice EIP-6093: the sender has too little.
    /// @param sender Whose tokens would move.
    /// @param balance What it has.
    /// @param needed What would move.
    error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);

    /// @notice EIP-6093: the spender may not move this much.
    /// @param spender Who called.
    /// @param allowance What is left of its allowance.
    /// @param needed What would move.
    error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed);

    /// @notice EIP-6093: nobody can receive there.
    /// @param receiver The zero address.
    error ERC20InvalidReceiver(address receiver);

    /// @notice The permit's deadline has passed.
    /// @param deadline The last block timestamp at which it held, in seconds.
    error ERC2612ExpiredSignature(uint256 deadline);

    /// @notice The permit was not signed by its owner, or for another nonce, chain or amount.
    /// @param signer Who signed what was read; the zero address if nobody could have.
    /// @param owner Who should have.
    error ERC2612InvalidSigner(address signer, address owner);

    /// @notice Tokens sent straight to a system address would be stranded; use `IExchange.deposit`.
    /// @param account The system address.
    error TransferToSystemContract(address account);

    /// @notice The faucet gives each account so much in all.
    /// @param amount What was asked for.
    /// @param available What the account may still claim.
    error FaucetLimitExceeded(uint256 amount, uint256 available);

    /// @notice The token's name, also of its EIP-712 domain.
    /// @return "USDC".
    function name() external view returns (string memory);

    /// @notice The token's symbol.
    /// @return "USDC".
    function symbol() external view returns (string memory);

    /// @notice How many decimals a token has.
    /// @return 6.
    function decimals() external view returns (uint8);

    /// @notice All tokens there are.
    /// @return Atoms.
    function totalSupply() external view returns (uint256);

    /// @notice What an account has.
    /// @param account Whose tokens.
    /// @return Atoms.
    function balanceOf(address account) external view returns (uint256);

    /// @notice What a spender may still move.
    /// @param owner Whose tokens.
    /// @param spender Who may move them.
    /// @return Atoms.
    function allowance(address owner, address spender) external view returns (uint256);

    /// @notice Sends tokens of the caller.
    /// @param to Who receives them; neither the zero address nor a system address.
    /// @param value Atoms.
    /// @return true; a failure reverts.
    function transfer(address to, uint256 value) external returns (bool);

    /// @notice Sets what a spender may move of the caller's tokens.
    /// @param spender Who may move them.
    /// @param value Atoms; 2^256 - 1 is unlimited and never falls.
    /// @return true; a failure reverts.
    function approve(address spender, uint256 value) external returns (bool);

    /// @notice Sends tokens of somebody who allowed it to the caller.
    /// @param from Whose tokens.
    /// @param to Who receives them; neither the zero address nor a system address.
    /// @param value Atoms.
    /// @return true; a failure reverts.
    function transferFrom(address from, address to, uint256 value) external returns (bool);

    /// @notice EIP-2612: sets an allowance that the owner signed.
    /// @param owner Who signed.
    /// @param spender Who may move the tokens.
    /// @param value Atoms.
    /// @param deadline The last block timestamp at which it holds, in seconds.
    /// @param v 27 or 28.
    /// @param r The signature's r.
    /// @param s The signature's s, in the lower half (EIP-2).
    function permit(
        address owner,
        address spender,
        uint256 value,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice The nonce of the account's next permit; a fork of the chain raises it.
    /// @param owner Who would sign.
    /// @return Counts from `IGovernance.nonceFloor`.
    function nonces(address owner) external view returns (uint256);

    /// @notice The EIP-712 domain of permits: name "USDC", version "1", chain id, this address.
    /// @return The hash of the domain.
    function DOMAIN_SEPARATOR() external view returns (bytes32);

    /// @notice Mints tokens to the caller, on a development chain, up to a cap for each account.
    /// @param amount Atoms.
    function faucet(uint256 amount) external;

    /// @notice What an account may still claim from the faucet; 0 where there is none.
    /// @param account Who would claim.
    /// @return Atoms.
    function faucetAvailable(address account) external view returns (uint256);
}
