import type { Meaningless } from './graph-body.ts';

/** Of Microsoft Graph v1.0's resources, what can be written and means nothing here. */
export const APPLICATION: Meaningless = {
  text: 'applicationTemplateId defaultRedirectUri description disabledByMicrosoftStatus groupMembershipClaims nativeAuthenticationApisEnabled notes samlMetadataUrl serviceManagementReference signInAudience tokenEncryptionKeyId uniqueName',
  flag: 'isDeviceOnlyAuthSupported isFallbackPublicClient oauth2RequirePostResponse',
  list: 'addIns appRoles identifierUris requiredResourceAccess tags',
  object:
    'api authenticationBehaviors certification info optionalClaims parentalControlSettings publicClient requestSignatureVerification servicePrincipalLockConfiguration spa verifiedPublisher web',
};

export const SERVICE_PRINCIPAL: Meaningless = {
  text: 'appDescription description homepage loginUrl logoutUrl notes preferredSingleSignOnMode preferredTokenSigningKeyThumbprint samlMetadataUrl servicePrincipalType tokenEncryptionKeyId',
  flag: 'appRoleAssignmentRequired',
  list: 'addIns alternativeNames appRoles notificationEmailAddresses oauth2PermissionScopes replyUrls tags',
  object: 'customSecurityAttributes info samlSingleSignOnSettings verifiedPublisher',
};

/** A password among them: people sign in elsewhere. */
export const USER: Meaningless = {
  text: 'aboutMe ageGroup birthday city companyName consentProvidedForMinor country creationType department employeeHireDate employeeId employeeLeaveDateTime employeeType faxNumber givenName hireDate jobTitle mail mobilePhone mySite officeLocation onPremisesImmutableId passwordPolicies postalCode preferredDataLocation preferredLanguage preferredName state streetAddress surname usageLocation userType',
  flag: 'showInAddressList',
  list: 'businessPhones imAddresses interests otherMails pastProjects responsibilities schools skills',
  object:
    'authorizationInfo customSecurityAttributes employeeOrgData mailboxSettings onPremisesExtensionAttributes passwordProfile',
};

export const GROUP: Meaningless = {
  text: 'classification membershipRuleProcessingState preferredDataLocation preferredLanguage theme uniqueName visibility',
  flag: 'allowExternalSenders autoSubscribeNewMembers hideFromAddressLists hideFromOutlookClients isAssignableToRole',
  list: 'resourceBehaviorOptions resourceProvisioningOptions',
  object: 'customSecurityAttributes writebackConfiguration',
};
