// SPDX-License-Identifier: MIT
pragma solidity ^0.8.4;

import {ISystem} from "./ISystem.sol";

/// @title The insurance fund, at 0x1005
/// @notice It earns a part of what liquidations bring beyond the bankruptcy price, and pays what they
/// lack. After an incident the council has it repay a list of refunds.
interface ILiquidatorVault is ISystem {
    /// @dev A row of a refund list. Its leaf is keccak256(keccak256(abi.encode(index, account,
    /// amount))). `index`: its place, from 0. `amount`: atoms.
    struct Refund {
        uint256 index;
        address account;
        uint256 amount;
    }

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

    /// @notice The council had the vault repay a refund list: the total waits to be paid out.
    /// @param compensation Its number, from 1.
    /// @param root The list's Merkle root.
    /// @param refunds How many the list has.
    /// @param total What the vault gave, in atoms.
    /// @param payUntil The last block time at which refunds are paid, in seconds since 1970.
    event CompensationOpened(
        uint64 indexed compensation,
        bytes32 root,
        uint32 refunds,
        uint256 total,
        uint64 payUntil
    );

    /// @notice A refund became an account's margin.
    /// @param compensation The compensation.
    /// @param account Whose.
    /// @param index Its place in the list.
    /// @param amount Atoms.
    event RefundPaid(
        uint64 indexed compensation,
        address indexed account,
        uint32 index,
        uint256 amount
    );

    /// @notice A compensation ended: all was paid, or its time is over.
    /// @param compensation The compensation.
    /// @param paid How many refunds were paid.
    /// @param returned What was left and returned to the vault, in atoms.
    event CompensationClosed(uint64 indexed compensation, uint32 paid, uint256 returned);

    /// @notice There is no such compensation.
    /// @param compensation The number that was asked for.
    /// @param count How many there are: their numbers are 1 to this.
    error CompensationNotFound(uint64 compensation, uint64 count);

    /// @notice Its time is over, or all was paid: what was left has returned to the vault.
    /// @param compensation The compensation.
    /// @param payUntil The last block time at which refunds were paid, in seconds since 1970.
    /// @param time The block's time, in seconds since 1970.
    error CompensationEnded(uint64 compensation, uint64 payUntil, uint64 time);

    /// @notice The proof does not lead from this very refund to the root that the council signed.
    /// @param compensation The compensation.
    /// @param index The refund.
    error RefundNotInList(uint64 compensation, uint256 index);

    /// @notice The account has had its refund of this compensation.
    /// @param compensation The compensation.
    /// @param account Whose.
    /// @param height The block that paid it.
    error RefundPaidAlready(uint64 compensation, address account, uint64 height);

    /// @notice The list sums to more than the council signed: so much is not left.
    /// @param compensation The compensation.
    /// @param amount The refund, in atoms.
    /// @param left What is left, in atoms.
    error RefundsExceedTotal(uint64 compensation, uint256 amount, uint256 left);

    /// @notice No list may have this row: an index beyond it, no amount, or a system account.
    /// @param compensation The compensation.
    /// @param index The refund.
    /// @param account Whose.
    /// @param amount Atoms.
    error InvalidRefund(uint64 compensation, uint256 index, address account, uint256 amount);

    /// @notice Each refund needs a proof of its own.
    /// @param refunds How many refunds there are.
    /// @param proofs How many proofs.
    error ProofsNotAsRefunds(uint32 refunds, uint32 proofs);

    /// @notice A call has too many refunds.
    /// @param count How many.
    /// @param maximum How many it may have.
    error BatchTooLarge(uint32 count, uint32 maximum);

    /// @notice Pays refunds to their accounts' margin balances, all of these or none. Anyone may ask,
    /// once for each refund; in every mode but HALTED.
    /// @param compensation The compensation.
    /// @param refunds At most 50 rows of its list.
    /// @param proofs For each row the siblings from its leaf to the root, as OpenZeppelin's
    /// MerkleProof takes them.
    function payRefunds(
        uint64 compensation,
        Refund[] calldata refunds,
        bytes32[][] calldata proofs
    ) external;

    /// @notice How many compensations there were.
    /// @return Their numbers are 1 to this.
    function compensationCount() external view returns (uint64);

    /// @notice A compensation.
    /// @param compensation Its number, from 1.
    /// @return root The list's Merkle root.
    /// @return refunds How many the list has.
    /// @return total What the vault gave, in atoms.
    /// @return payUntil The last block time at which refunds are paid, in seconds since 1970.
    /// @return paid How many refunds were paid.
    /// @return left What waits to be paid, in atoms.
    /// @return returned What returned to the vault at its end, in atoms.
    /// @return closedHeight The block that ended it; 0: it is open.
    function getCompensation(
        uint64 compensation
    )
        external
        view
        returns (
            bytes32 root,
            uint32 refunds,
            uint256 total,
            uint64 payUntil,
            uint32 paid,
            uint256 left,
            uint256 returned,
            uint64 closedHeight
        );

    /// @notice What an account was paid of a compensation.
    /// @param compensation The compensation.
    /// @param account The account.
    /// @return index Its place in the list.
    /// @return amount Atoms; 0: nothing yet.
    /// @return height The block that paid it; 0: none did.
    function getRefund(
        uint64 compensation,
        address account
    ) external view returns (uint32 index, uint256 amount, uint64 height);

    /// @notice What the vault is worth at the present marks.
    /// @return Atoms.
    function equity() external view returns (int256);

    /// @notice The vault's signed quote balance.
    /// @return Atoms.
    function balance() external view returns (int256);
}
