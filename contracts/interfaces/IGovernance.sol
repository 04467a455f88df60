// SPDX-License-Identifier: MIT
pragma solidity ^0.8.4;

import {ISystem} from "./ISystem.sol";

/// @title Modes, the council and the chain's branch, at 0x1004
/// @notice What governs the chain, to read; and the door through which council actions come in: what
/// enough members have signed, anyone may submit, and it is carried out first in its block.
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
        GENESIS, // how the chain began
        FORK // how a branch began
    }

    /// @notice The kinds of council actions.
    enum Kind {
        HALT,
        SET_MODE,
        CANCEL_ORDERS,
        ACKNOWLEDGE_JUMP,
        RESUME,
        FORK, // signed for a fork plan; carried out by the nodes, not by a call
        SCHEDULE_MAINTENANCE,
        SETTLE_MARKET,
        CHANGE_COUNCIL,
        CHANGE_VALIDATORS,
        SET_PARAMETER,
        SET_REPORTERS,
        SET_BRACKETS,
        LIST_MARKET,
        COMPENSATE
    }

    /// @notice What `cancelOrders` cancels.
    enum CancelFilter {
        ALL_BUT_TRIGGERS, // all that rests in all markets; take-profits and stop-losses stay
        MARKET, // all of a market, triggers too
        ACCOUNT // all of an account, triggers too
    }

    // What members sign (EIP-712): these structs, under the domain that `eip712Domain` tells. All
    // end in the same terms: `nonce` (any 32 bytes not used before, in no order), `forkId` (of the
    // branch that is meant), `expiresAt` (the last block time, in seconds since 1970),
    // `expiresAtHeight` (the last block that may carry it) and `reason`.

    /// @dev `height`: the last ordinary block; 0: the block that carries the action.
    struct Halt {
        uint64 height;
        bytes32 nonce;
        uint64 forkId;
        uint64 expiresAt;
        uint64 expiresAtHeight;
        string reason;
    }

    /// @dev `market`: 0 is the chain. `mode`: see `Mode`; the chain is HALTED by a halt alone.
    struct SetMode {
        uint32 market;
        uint8 mode;
        bytes32 nonce;
        uint64 forkId;
        uint64 expiresAt;
        uint64 expiresAtHeight;
        string reason;
    }

    /// @dev `filter`: see `CancelFilter`; `market` and `account` are zero unless it uses them.
    struct CancelOrders {
        uint8 filter;
        uint32 market;
        address account;
        bytes32 nonce;
        uint64 forkId;
        uint64 expiresAt;
        uint64 expiresAtHeight;
        string reason;
    }

    /// @dev `price`: ticks; what waits must be as near to it as a price may move in one block.
    struct AcknowledgeJump {
        uint32 market;
        int64 price;
        bytes32 nonce;
        uint64 forkId;
        uint64 expiresAt;
        uint64 expiresAtHeight;
        string reason;
    }

    /// @dev It has no height: a halted chain makes no blocks.
    struct Resume {
        bytes32 nonce;
        uint64 forkId;
        uint64 expiresAt;
        string reason;
    }

    /// @dev `startHeight`: from its end on CANCEL_ONLY; `haltHeight`: from its end on HALTED; the
    /// first block from `endMs` on, in milliseconds since 1970, ends the halt. All zeros call off a
    /// window that has not begun.
    struct ScheduleMaintenance {
        uint64 startHeight;
        uint64 haltHeight;
        uint64 endMs;
        bytes32 nonce;
        uint64 forkId;
        uint64 expiresAt;
        uint64 expiresAtHeight;
        string reason;
    }

    /// @dev `price`: ticks; farther from the last accepted price than a price may move only if
    /// `beyondMaxMove` says so.
    struct SettleMarket {
        uint32 market;
        int64 price;
        bool beyondMaxMove;
        bytes32 nonce;
        uint64 forkId;
        uint64 expiresAt;
        uint64 expiresAtHeight;
        string reason;
    }

    /// @dev `members`: ascending, different; `threshold`: more than half of them.
    struct ChangeCouncil {
        address[] members;
        uint32 threshold;
        bytes32 nonce;
        uint64 forkId;
        uint64 expiresAt;
        uint64 expiresAtHeight;
        string reason;
    }

    /// @dev An Ed25519 key and what its signature weighs, at least 1.
    struct Validator {
        bytes32 publicKey;
        int64 power;
    }

    /// @dev `validators`: in the order that certificates name them by; the sequencer stays.
    struct ChangeValidators {
        Validator[] validators;
        bytes32 nonce;
        uint64 forkId;
        uint64 expiresAt;
        uint64 expiresAtHeight;
        string reason;
    }

    /// @dev `market`: 0 is the chain. `name`: as the genesis document has it; `value`: 0 or 1 where
    /// it has false or true.
    struct SetParameter {
        uint32 market;
        string name;
        int64 value;
        bytes32 nonce;
        uint64 forkId;
        uint64 expiresAt;
        uint64 expiresAtHeight;
        string reason;
    }

    /// @dev `reporters`: ascending, different; `quorum`: how many must agree.
    struct SetReporters {
        address[] reporters;
        uint32 quorum;
        bytes32 nonce;
        uint64 forkId;
        uint64 expiresAt;
        uint64 expiresAtHeight;
        string reason;
    }

    /// @dev From this notional on, in atoms, a position needs this initial margin.
    struct MarginBracket {
        int64 notionalFrom;
        int64 initialMarginPpm;
    }

    /// @dev `brackets`: ascending, the first from 0.
    struct SetBrackets {
        uint32 market;
        MarginBracket[] brackets;
        bytes32 nonce;
        uint64 forkId;
        uint64 expiresAt;
        uint64 expiresAtHeight;
        string reason;
    }

    /// @dev A market's parameters; the genesis README says a line on each.
    struct MarketParams {
        string symbol;
        int64 lotDecimals;
        int64 tickDecimals;
        int64 k;
        MarginBracket[] brackets;
        int64 maintenancePpm;
        int64 oiLowerCap;
        int64 oiUpperCap;
        int64 takerFeePpm;
        int64 makerFeePpm;
        int64 priceBandPpm;
        int64 orderValueMin;
        int64 impactNotional;
        int64 fundingIntervalMs;
        int64 fundingInterestPpb;
        int64 fundingClampFactorPpm;
        int64 priceAgeMsMax;
        int64 priceMovePpmMax;
        int64 priceConfirmMs;
        int64 liquidationFeePpm;
        int64 markBandPpm;
        int64 vaultSizeMax;
        int64 positionMax;
        int64 openInterestMax;
        int64 liquidationNotionalMax;
    }

    /// @dev `market`: an id that no market has or had.
    struct ListMarket {
        uint32 market;
        MarketParams params;
        bytes32 nonce;
        uint64 forkId;
        uint64 expiresAt;
        uint64 expiresAtHeight;
        string reason;
    }

    /// @dev `source`: who pays, LiquidatorVault. `root`: of OpenZeppelin's StandardMerkleTree of the
    /// list's `ILiquidatorVault.Refund`s, `refunds` in number. `total`: what they sum to, and `cap`
    /// what it must not pass, in atoms. `payUntil`: the last block time at which refunds are paid, in
    /// seconds since 1970.
    struct Compensate {
        string source;
        bytes32 root;
        uint32 refunds;
        int64 total;
        int64 cap;
        uint64 payUntil;
        bytes32 nonce;
        uint64 forkId;
        uint64 expiresAt;
        uint64 expiresAtHeight;
        string reason;
    }

    /// @notice The mode of a market or of the chain changed.
    /// @param market The market; 0 is the whole chain.
    /// @param modeBefore The mode.
    /// @param mode The new one.
    /// @param reason Why.
    event ModeChanged(uint32 indexed market, Mode modeBefore, Mode mode, ModeReason reason);

    /// @notice This block begins a branch: the state is the snapshot's, what came after it is
    /// orphaned, and the council has signed the plan.
    /// @param forkId The new branch.
    /// @param snapshotHeight The block whose state the branch begins with.
    /// @param snapshotHash Its hash.
    /// @param orphanHeight The highest block that was sealed on the branch that is left.
    /// @param orphanHash Its hash.
    /// @param planHash keccak256 of the plan that the council signed.
    /// @param reason Why.
    event ForkStarted(
        uint32 indexed forkId,
        uint64 snapshotHeight,
        bytes32 snapshotHash,
        uint64 orphanHeight,
        bytes32 orphanHash,
        bytes32 planHash,
        string reason
    );

    /// @notice Nonces of accounts, permits and all other signatures begin here on this branch.
    /// @param floor The least nonce: forkId * 2^32.
    event NonceFloorRaised(uint64 floor);

    /// @notice Time jumped: nothing accrues for the gap, nor for what was undone.
    /// @param fromMs The snapshot's block time.
    /// @param untilMs The block time from which reports and waiting times count.
    /// @param lastRestartHeight The last block of the restart; ordinary blocks follow.
    event RestartGap(uint64 fromMs, uint64 untilMs, uint64 lastRestartHeight);

    /// @notice The market's accepted price no longer counts: it is stale until a quorum reports on
    /// this branch.
    /// @param market The market.
    /// @param price The last accepted price.
    event PriceInvalidated(uint32 indexed market, int64 price);

    /// @notice A council action was carried out and recorded in the audit log.
    /// @param number Its entry.
    /// @param kind Its kind.
    /// @param digest What was signed.
    /// @param signers Who signed; ascending.
    /// @param result Halt: the last ordinary block. SetMode, Resume: the mode before. CancelOrders:
    /// how many. AcknowledgeJump: the price accepted. ScheduleMaintenance: the last block before it
    /// halts. SettleMarket: how many positions. ChangeCouncil, ChangeValidators, SetReporters,
    /// SetBrackets: how many there are now. SetParameter: the value before. ListMarket: the market.
    /// Compensate: the compensation's number.
    /// @param entryHash The entry's hash, which the next entry holds.
    event ActionExecuted(
        uint64 number,
        Kind kind,
        bytes32 digest,
        address[] signers,
        int256 result,
        bytes32 entryHash
    );

    /// @notice The council halts the chain.
    /// @param height The last ordinary block; 0: no halt is due any more.
    event HaltScheduled(uint64 height);

    /// @notice The council sets a mode, in force from the end of this block on; under an alarm it
    /// opens nothing beyond CANCEL_ONLY.
    /// @param market The market; 0 is the whole chain.
    /// @param mode The mode.
    /// @param held The chain opens it no further by itself.
    event ModeDecreed(uint32 indexed market, Mode mode, Mode held);

    /// @notice The council acknowledged a price that waited for its confirmation: it is accepted.
    /// @param market The market.
    /// @param price Ticks.
    event JumpAcknowledged(uint32 indexed market, int64 price);

    /// @notice The council announces a maintenance window; zeros: it calls one off.
    /// @param startHeight From the end of this block on the chain is CANCEL_ONLY.
    /// @param haltHeight From the end of this block on it is HALTED.
    /// @param endMs The first block from this time on ends the halt, in milliseconds since 1970.
    event MaintenanceScheduled(uint64 startHeight, uint64 haltHeight, uint64 endMs);

    /// @notice The council set a parameter, in force from the next block on.
    /// @param market The market; 0 is the whole chain.
    /// @param name The parameter, as the genesis document names it.
    /// @param valueBefore What it was; 0 and 1 stand for false and true.
    /// @param value What it is.
    event ParameterSet(uint32 indexed market, string name, int64 valueBefore, int64 value);

    /// @notice The council set who reports prices, in force from the next block on.
    /// @param reporters Who; ascending.
    /// @param quorum How many must agree.
    event ReportersSet(address[] reporters, uint32 quorum);

    /// @notice The council set a market's initial margin, in force from the next block on.
    /// @param market The market.
    /// @param brackets From which notional on which fraction is needed.
    event BracketsSet(uint32 indexed market, MarginBracket[] brackets);

    /// @notice The council listed a market; it exists from the next block on, in CANCEL_ONLY until
    /// its price is reported.
    /// @param market The market.
    /// @param symbol Its name.
    event MarketListed(uint32 indexed market, string symbol);

    /// @notice Others govern, from the next block on.
    /// @param members Who; ascending.
    /// @param threshold How many must sign.
    event CouncilChanged(address[] members, uint32 threshold);

    /// @notice Others attest, from the next block on.
    /// @param validators Who, with which power, in the order that certificates name them by.
    event ValidatorsChanged(Validator[] validators);

    /// @notice No market has this id.
    /// @param market The id.
    error MarketNotFound(uint32 market);

    /// @notice The action was signed for another branch of this chain.
    /// @param forkId The branch it is meant for.
    /// @param expected This branch.
    error WrongForkId(uint64 forkId, uint64 expected);

    /// @notice The action's time is over.
    /// @param expiresAt Its last time, in seconds.
    /// @param time The block's, in seconds.
    error ActionExpired(uint64 expiresAt, uint64 time);

    /// @notice The action's last block is over.
    /// @param expiresAtHeight Its last block.
    /// @param height This block.
    error ActionExpiredAtHeight(uint64 expiresAtHeight, uint64 height);

    /// @notice An action of this nonce was carried out; each is good once.
    /// @param nonce The nonce.
    error ActionNonceUsed(bytes32 nonce);

    /// @notice A signature is not 65 bytes r, s, v of a secp256k1 signature with low s.
    /// @param index Which one, from 0.
    error MalformedSignature(uint32 index);

    /// @notice Who signed these very words, for this very chain, is not in the council.
    /// @param signer Who.
    error UnknownSigner(address signer);

    /// @notice A member's signature stands there twice.
    /// @param signer Whose.
    error DuplicateSignature(address signer);

    /// @notice Fewer members signed than an action needs.
    /// @param signatures How many did.
    /// @param threshold How many must.
    error NotEnoughSignatures(uint32 signatures, uint32 threshold);

    /// @notice The chain can't halt at the end of a block that is over.
    /// @param haltHeight The block that was asked for.
    /// @param height This block.
    error HaltHeightPassed(uint64 haltHeight, uint64 height);

    /// @notice The chain is not HALTED and no halt is due: there is nothing to resume.
    /// @param mode The chain's mode.
    error NotHalted(uint8 mode);

    /// @notice The code is no mode that may be set here; the chain is HALTED by a halt alone.
    /// @param market The market; 0 is the whole chain.
    /// @param mode The code.
    error InvalidMode(uint32 market, uint8 mode);

    /// @notice The code is no filter, or a field that the filter does not use is not zero.
    /// @param filter The code.
    /// @param market The market that was named.
    /// @param account The account that was named.
    error InvalidCancelFilter(uint8 filter, uint32 market, address account);

    /// @notice The market was settled: nothing opens it again.
    /// @param market The market.
    error MarketClosed(uint32 market);

    /// @notice The price is farther from the last accepted one than a price may move.
    /// @param market The market.
    /// @param price The settlement price, in ticks.
    /// @param last The last accepted one.
    error SettlementPriceTooFar(uint32 market, int64 price, int64 last);

    /// @notice A maintenance window must start before it halts and end later than now, and none
    /// may be on, unless only its end moves.
    /// @param startHeight From the end of this block on the chain would be CANCEL_ONLY.
    /// @param haltHeight From the end of this block on it would be HALTED.
    /// @param endMs When it would end, in milliseconds since 1970.
    error InvalidMaintenance(uint64 startHeight, uint64 haltHeight, uint64 endMs);

    /// @notice No number has this name that may be set: lists have actions of their own, and a
    /// market's units never change.
    /// @param market The market; 0 is the whole chain.
    /// @param name The name.
    error NoSuchParameter(uint32 market, string name);

    /// @notice With these parameters no genesis document would be taken.
    /// @param market The market; 0 is the whole chain.
    /// @param reason Which field is wrong, and what it must be.
    error InvalidParameters(uint32 market, string reason);

    /// @notice The id is, or was, a market's.
    /// @param market The id.
    error MarketExists(uint32 market);

    /// @notice Such a council could not decide.
    /// @param reason Which field is wrong, and what it must be.
    error InvalidCouncil(string reason);

    /// @notice Such a set of validators could not work.
    /// @param reason Which field is wrong, and what it must be.
    error InvalidValidators(string reason);

    /// @notice The address belongs to the system: nobody's key leads to it, or everybody's.
    /// @param account The address.
    error SystemAddress(address account);

    /// @notice No price of the market waits for a confirmation, or too few reports are fresh.
    /// @param market The market.
    error NoJump(uint32 market);

    /// @notice The price that waits is farther from the acknowledged one than a price may move.
    /// @param market The market.
    /// @param candidate The price that waits, in ticks.
    /// @param price The acknowledged one.
    error JumpNotAsAcknowledged(uint32 market, int64 candidate, int64 price);

    /// @notice A compensation is paid by the LiquidatorVault and by nothing else.
    /// @param source Who was to pay.
    error UnknownSource(string source);

    /// @notice A refund list has at least one refund, and its total an atom for each.
    /// @param refunds How many the list was to have.
    /// @param total What they were to sum to, in atoms.
    error InvalidCompensation(uint32 refunds, int64 total);

    /// @notice The total is more than the cap that stands beside it.
    /// @param total What was to be paid, in atoms.
    /// @param cap What is allowed, in atoms.
    error CompensationOverCap(int64 total, int64 cap);

    /// @notice Refunds are paid until a block time ahead.
    /// @param payUntil When it was to end, in seconds since 1970.
    /// @param time The block's time, in seconds since 1970.
    error InvalidPayUntil(uint64 payUntil, uint64 time);

    /// @notice Another compensation has this list: each is paid once.
    /// @param root The list's root.
    /// @param compensation Which one.
    error RefundListUsed(bytes32 root, uint64 compensation);

    /// @notice The LiquidatorVault's equity would be below 0.
    /// @param equity What it is worth, in atoms.
    /// @param total What it was to give, in atoms.
    error VaultCannotPay(int256 equity, int64 total);

    /// @notice There is no such entry in the audit log.
    /// @param number The entry that was asked for.
    /// @param length How many there are.
    error NoAuditEntry(uint64 number, uint64 length);

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

    /// @notice Halts the chain at the end of a block. Anyone may submit what the council signed.
    /// @param action What was signed.
    /// @param signatures 65 bytes each (r, s, v), of different members, at least `threshold`.
    function halt(Halt calldata action, bytes[] calldata signatures) external;

    /// @notice Sets the mode of a market or of the chain from the end of this block on; by itself
    /// it opens no further than that.
    /// @param action What was signed.
    /// @param signatures 65 bytes each (r, s, v), of different members, at least `threshold`.
    function setMode(SetMode calldata action, bytes[] calldata signatures) external;

    /// @notice Cancels orders.
    /// @param action What was signed.
    /// @param signatures 65 bytes each (r, s, v), of different members, at least `threshold`.
    function cancelOrders(CancelOrders calldata action, bytes[] calldata signatures) external;

    /// @notice Accepts a price that waits for its confirmation.
    /// @param action What was signed.
    /// @param signatures 65 bytes each (r, s, v), of different members, at least `threshold`.
    function acknowledgeJump(
        AcknowledgeJump calldata action,
        bytes[] calldata signatures
    ) external;

    /// @notice Ends a halt, or calls off one that is due: from HALTED to CANCEL_ONLY, and with fresh
    /// prices on toward OPEN.
    /// @param action What was signed.
    /// @param signatures 65 bytes each (r, s, v), of different members, at least `threshold`.
    function resume(Resume calldata action, bytes[] calldata signatures) external;

    /// @notice Records a hold that a resume ended: a halt that nodes obeyed when no block could carry
    /// it, and the resume. The halt may have expired since. It ends a halt as `resume` does.
    /// @param held The halt.
    /// @param haltSignatures 65 bytes each (r, s, v), of different members, at least `threshold`.
    /// @param action The resume: current, or over like the halt.
    /// @param resumeSignatures The same for the resume.
    function recordHold(
        Halt calldata held,
        bytes[] calldata haltSignatures,
        Resume calldata action,
        bytes[] calldata resumeSignatures
    ) external;

    /// @notice Announces a maintenance window: CANCEL_ONLY, HALTED, and back.
    /// @param action What was signed.
    /// @param signatures 65 bytes each (r, s, v), of different members, at least `threshold`.
    function scheduleMaintenance(
        ScheduleMaintenance calldata action,
        bytes[] calldata signatures
    ) external;

    /// @notice Closes a market for ever: orders cancelled, positions closed at one price.
    /// @param action What was signed.
    /// @param signatures 65 bytes each (r, s, v), of different members, at least `threshold`.
    function settleMarket(SettleMarket calldata action, bytes[] calldata signatures) external;

    /// @notice Lets others govern, from the next block on.
    /// @param action What was signed.
    /// @param signatures 65 bytes each (r, s, v), of different members, at least `threshold`.
    function changeCouncil(ChangeCouncil calldata action, bytes[] calldata signatures) external;

    /// @notice Lets others attest, from the next block on.
    /// @param action What was signed.
    /// @param signatures 65 bytes each (r, s, v), of different members, at least `threshold`.
    function changeValidators(
        ChangeValidators calldata action,
        bytes[] calldata signatures
    ) external;

    /// @notice Sets a number of a market or of the chain, from the next block on.
    /// @param action What was signed.
    /// @param signatures 65 bytes each (r, s, v), of different members, at least `threshold`.
    function setParameter(SetParameter calldata action, bytes[] calldata signatures) external;

    /// @notice Lets others report prices, from the next block on.
    /// @param action What was signed.
    /// @param signatures 65 bytes each (r, s, v), of different members, at least `threshold`.
    function setReporters(SetReporters calldata action, bytes[] calldata signatures) external;

    /// @notice Sets a market's initial margin, from the next block on.
    /// @param action What was signed.
    /// @param signatures 65 bytes each (r, s, v), of different members, at least `threshold`.
    function setBrackets(SetBrackets calldata action, bytes[] calldata signatures) external;

    /// @notice Begins a new market, from the next block on.
    /// @param action What was signed.
    /// @param signatures 65 bytes each (r, s, v), of different members, at least `threshold`.
    function listMarket(ListMarket calldata action, bytes[] calldata signatures) external;

    /// @notice Has the LiquidatorVault repay a refund list: it gives the total at once, and
    /// `ILiquidatorVault.payRefunds` pays each refund.
    /// @param action What was signed.
    /// @param signatures 65 bytes each (r, s, v), of different members, at least `threshold`.
    function compensate(Compensate calldata action, bytes[] calldata signatures) external;

    /// @notice The last ordinary block before a halt that is due.
    /// @return 0 if none is.
    function haltHeight() external view returns (uint64);

    /// @notice Whether an action of this nonce was carried out.
    /// @param nonce The nonce.
    /// @return Whether it is used.
    function isNonceUsed(bytes32 nonce) external view returns (bool);

    /// @notice The audit log as a whole.
    /// @return length How many actions it holds.
    /// @return head The last entry's hash; 0 if there is none.
    function auditLog() external view returns (uint64 length, bytes32 head);

    /// @notice An action that was carried out.
    /// @param number Its entry, from 0.
    /// @return kind Its kind.
    /// @return digest What was signed.
    /// @return signers Who signed; ascending.
    /// @return height The block that carried it.
    /// @return timeMs Its time.
    /// @return result See `ActionExecuted`.
    /// @return previous The hash of the entry before; 0 for the first.
    /// @return entryHash This entry's.
    function getAuditEntry(
        uint64 number
    )
        external
        view
        returns (
            Kind kind,
            bytes32 digest,
            address[] memory signers,
            uint64 height,
            uint64 timeMs,
            int256 result,
            bytes32 previous,
            bytes32 entryHash
        );

    /// @notice The domain of what members sign (EIP-5267).
    /// @return fields Which of the others count: all five.
    /// @return name "perpnode".
    /// @return version "1".
    /// @return chainId The chain's id.
    /// @return verifyingContract This contract.
    /// @return salt Block 0's hash: a signature is good on one chain alone.
    /// @return extensions None.
    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        );
}
